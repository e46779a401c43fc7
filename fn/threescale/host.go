package threescale

import "strings"

// rewriteHost returns an address with its host moved from one domain to another, and
// whether the host was the first domain or a name below it. An address is a host name or
// a URL. All but the host (scheme, user, port, path, white space) stays byte for byte.
// Case does not matter, as in DNS.
func rewriteHost(address, from, to string) (string, bool) {
	start, end := hostOf(address)
	host := address[start:end]
	name := strings.TrimSuffix(host, ".") // the root of DNS may be written out
	if !isBelow(name, from) {
		return address, false
	}
	labels := name[:len(name)-len(from)]
	return address[:start] + labels + to + address[start+len(name):], true
}

// hostOf returns where the host of a host name or URL begins and ends.
func hostOf(address string) (start, end int) {
	end = len(strings.TrimRight(address, " \t\r\n"))
	start = end - len(strings.TrimLeft(address[:end], " \t\r\n"))
	if i := strings.Index(address[start:end], "://"); i >= 0 {
		start += i + len("://")
	}
	if i := strings.IndexAny(address[start:end], "/?#"); i >= 0 {
		end = start + i
	}
	if i := strings.LastIndexByte(address[start:end], '@'); i >= 0 {
		start += i + 1
	}
	if i := strings.LastIndexByte(address[start:end], ':'); i >= 0 {
		end = start + i
	}
	return start, end
}

// isBelow reports whether a host name is the domain or a subdomain of it.
func isBelow(host, domain string) bool {
	cut := len(host) - len(domain)
	if domain == "" || cut < 0 || !strings.EqualFold(host[cut:], domain) {
		return false
	}
	return cut == 0 || host[cut-1] == '.'
}

// mentions reports whether a text holds the domain as a whole name, not as part of a
// longer label or as the start of a longer domain.
func mentions(text, domain string) bool {
	if domain == "" {
		return false
	}
	text, domain = strings.ToLower(text), strings.ToLower(domain)
	for offset := 0; ; {
		i := strings.Index(text[offset:], domain)
		if i < 0 {
			return false
		}
		before, after := text[:offset+i], text[offset+i+len(domain):]
		if !endsInLabel(before) && !goesOn(after) {
			return true
		}
		offset += i + 1
	}
}

// endsInLabel reports whether a text ends within a label of a host name.
func endsInLabel(text string) bool {
	return text != "" && isLabelByte(text[len(text)-1])
}

// goesOn reports whether the text after a domain continues it to a longer one.
func goesOn(text string) bool {
	text = strings.TrimPrefix(text, ".")
	return text != "" && isLabelByte(text[0])
}

// isLabelByte reports whether a lower-case host name may hold a byte within a label.
func isLabelByte(b byte) bool {
	return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '_'
}
