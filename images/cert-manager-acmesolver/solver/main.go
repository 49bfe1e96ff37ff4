// Command solver answers one HTTP-01 challenge: cert-manager starts a pod with it for each. The published module has
// the server and not the command; the flags are those that cert-manager passes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
	"github.com/go-logr/logr"
)

func main() {
	var answers solver.HTTP01Solver
	flag.IntVar(&answers.ListenPort, "listen-port", 8089, "the port to listen on")
	flag.StringVar(&answers.Domain, "domain", "", "the name that is being validated")
	flag.StringVar(&answers.Token, "token", "", "the token of the challenge")
	flag.StringVar(&answers.Key, "key", "", "the answer")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = answers.Shutdown(context.Background())
	}()
	log := logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil))
	if err := answers.Listen(log); err != nil && !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintf(os.Stderr, "acmesolver: %v\n", err)
		os.Exit(1)
	}
}
