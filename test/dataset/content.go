package dataset

import (
	"encoding/binary"
	"math/rand/v2"
	"path"
)

// kind is a type of file: how it begins and ends. What is between is random and
// does not compress, as in images; in text it is printable.
type kind struct {
	extension, head, tail string
	text                  bool
}

// kinds returns the types of files in a developer portal, repeated by how
// frequent they are.
func kinds() []kind {
	css := kind{".css", "@charset \"utf-8\";\n.portal::after { content: \"", "\"; }\n", true}
	js := kind{".js", "\"use strict\";\nwindow.portal = \"", "\";\n", true}
	html := kind{".html", "<!doctype html>\n<html><head><title>Portal</title></head><body><p>", "</p></body></html>\n", true}
	png := kind{".png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "\x00\x00\x00\x00IEND\xaeB`\x82", false}
	jpg := kind{".jpg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", "\xff\xd9", false}
	pdf := kind{".pdf", "%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "\n%%EOF\n", false}
	return []kind{css, css, css, js, js, js, html, html, html, html, html, png, png, png, png, png, jpg, jpg, pdf}
}

// kindOf returns the type of a file by its extension.
func kindOf(name string) kind {
	for _, kind := range kinds() {
		if kind.extension == path.Ext(name) {
			return kind
		}
	}
	return kind{}
}

// fill writes the content of a file over buffer, which has the file's size.
func fill(buffer []byte, f file) {
	random := rand.NewChaCha8(chachaSeed(f.seed))
	// Read never returns an error (its documentation says so).
	_, _ = random.Read(buffer)
	kind := kindOf(f.path)
	if kind.text {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \n"
		for i, b := range buffer {
			buffer[i] = alphabet[b&63]
		}
	}
	copy(buffer, kind.head)
	copy(buffer[max(0, len(buffer)-len(kind.tail)):], kind.tail)
}

// chachaSeed spreads a seed over the key of the generator.
func chachaSeed(seed uint64) (key [32]byte) {
	binary.LittleEndian.PutUint64(key[:], seed)
	return key
}
