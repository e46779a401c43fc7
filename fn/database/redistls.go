package database

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"threescale.dev/backup/fn/threescale"
)

// dial connects to host and port, encrypted as it says.
func dial(ctx context.Context, server string, encrypted *threescale.TLS) (net.Conn, error) {
	if encrypted == nil {
		return dialPlain(ctx, server)
	}
	conn, err := dialTLS(ctx, server, *encrypted)
	if err == nil || encrypted.Mode != threescale.TLSPreferred || ctx.Err() != nil {
		return conn, err
	}
	return dialPlain(ctx, server)
}

func dialPlain(ctx context.Context, server string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	return steadyConn{conn, stallTime}, nil
}

func dialTLS(ctx context.Context, server string, encrypted threescale.TLS) (net.Conn, error) {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return nil, err
	}
	config, err := tlsConfig(host, encrypted)
	if err != nil {
		return nil, err
	}
	plain, err := dialPlain(ctx, server)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, config)
	limited, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if err := conn.HandshakeContext(limited); err != nil {
		_ = plain.Close()
		return nil, &handshakeError{err}
	}
	return conn, nil
}

// handshakeError says that a server was reached that does not speak TLS, or not such as is trusted.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// tlsConfig is what is asked of a server by a mode of TLS.
func tlsConfig(host string, encrypted threescale.TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if len(encrypted.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(encrypted.CA) {
			return nil, &judgedError{Untrusted, errors.New("the CA is no certificate in PEM")}
		}
	}
	if len(encrypted.Cert)+len(encrypted.Key) > 0 {
		pair, err := tls.X509KeyPair(encrypted.Cert, encrypted.Key)
		if err != nil {
			return nil, &judgedError{Untrusted, errors.New("the client's certificate and key are no pair in PEM")} // err may quote them.
		}
		config.Certificates = []tls.Certificate{pair}
	}
	switch encrypted.Mode {
	case threescale.TLSVerify:
	case threescale.TLSVerifyCA:
		roots := config.RootCAs
		config.InsecureSkipVerify = true // The authority is proven by what follows; its name is not asked for.
		config.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, roots) }
	default:
		config.InsecureSkipVerify = true // The mode says that nothing is proven.
	}
	return config, nil
}

// verifyChain proves what TLS proves, but for the name of the host.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}
