// Command pebble is Let's Encrypt's ACME server for tests, and issues from an authority that it is given. Pebble's own
// command makes an authority when it starts, which nobody can trust beforehand.
package main

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/core"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// The name of the profile in which certificates are issued unless an order names another.
const profile = "default"

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "pebble: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", ":14000", "where ACME is served, by HTTPS")
	certificate := flag.String("certificate", "/tls/tls.crt", "the certificate of ACME's own HTTPS")
	key := flag.String("key", "/tls/tls.key", "its key")
	authority := flag.String("authority", "/authority/tls.crt", "the issuing certificate, and those above it")
	authorityKey := flag.String("authority-key", "/authority/tls.key", "its key (RSA)")
	resolver := flag.String("dnsserver", "", "ADDRESS:PORT of a name server; by default, the system's")
	lifetime := flag.Duration("lifetime", 90*24*time.Hour, "how long certificates are valid")
	flag.Parse()

	logger := log.New(os.Stdout, "Pebble ", log.LstdFlags)
	store := db.NewMemoryStore()
	profiles := map[string]ca.Profile{
		profile: {Description: "The default profile", ValidityPeriod: uint64(lifetime.Seconds())},
	}
	issuer := ca.New(logger, store, "", "rsa", 0, 1, profiles)
	if err := adopt(issuer, *authority, *authorityKey); err != nil {
		return err
	}
	validator := va.New(logger, 80, 443, false, *resolver, store)
	front := wfe.New(logger, store, validator, issuer, []string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	logger.Printf("ACME directory at https://%s%s", *listen, wfe.DirectoryPath)
	return http.ListenAndServeTLS(*listen, *certificate, *key, front.Handler())
}

// adopt puts a given authority in the place of the one that Pebble has made. Pebble hands out its own issuing
// certificate and key, not copies, so that what they point to can be replaced.
func adopt(issuer *ca.CAImpl, certificate, key string) error {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	secret, isRsa := pair.PrivateKey.(*rsa.PrivateKey)
	made, place := issuer.GetIntermediateKey(0), issuer.GetIntermediateCert(0)
	if !isRsa || made == nil || place == nil {
		return errors.New("the authority's key is not an RSA key")
	}
	chain := make([]*core.Certificate, 0, len(pair.Certificate))
	for _, der := range pair.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		chain = append(chain, &core.Certificate{ID: hex.EncodeToString(parsed.SerialNumber.Bytes()), Cert: parsed, DER: der})
	}
	if !chain[0].Cert.IsCA {
		return fmt.Errorf("%s is not the certificate of an authority", chain[0].Cert.Subject)
	}
	// The root is not sent to clients.
	last := chain[len(chain)-1].Cert
	if above := chain[1:]; len(above) > 0 && last.CheckSignatureFrom(last) == nil {
		chain[0].IssuerChains = [][]*core.Certificate{above[:len(above)-1]}
	} else {
		chain[0].IssuerChains = [][]*core.Certificate{above}
	}
	*place, *made = *chain[0], *secret
	return nil
}
