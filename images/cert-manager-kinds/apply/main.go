// Command apply gives a cluster the CustomResourceDefinitions of a folder, as `kubectl apply --server-side` does, and
// waits until the cluster serves them. It runs in a pod and uses the pod's ServiceAccount.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	kinds   = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
	within  = time.Minute
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "apply: name the folder")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "apply: %v\n", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no manifests in %s (%v)", folder, err)
	}
	api, err := connect()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(within)
	var names []string
	for _, file := range files {
		name, err := nameOf(file)
		if err != nil {
			return err
		}
		manifest, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		path := kinds + name + "?fieldManager=apply&force=true"
		if _, err := again(deadline, func() ([]byte, error) { return api.ask(http.MethodPatch, path, manifest) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		names = append(names, name)
	}
	for _, name := range names {
		for {
			served, err := again(deadline, func() (bool, error) { return api.serves(name) })
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if served {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s is not established after %s", name, within)
			}
			time.Sleep(100 * time.Millisecond)
		}
		fmt.Println("the cluster has", name)
	}
	return nil
}

// refused is an answer of the apiserver that is no success.
type refused struct {
	status int
	says   string
}

func (it refused) Error() string { return it.says }

// mayPass says whether another try may succeed: nothing answered, the apiserver was busy, or the rights of a ServiceAccount
// that was just made are not in force yet.
func mayPass(err error, since time.Duration) bool {
	var answer refused
	if !errors.As(err, &answer) {
		return true
	}
	switch answer.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return since < 15*time.Second
	case http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return answer.status >= 500
}

// again repeats what may pass until the deadline. A container that ends would start again only after a pause of ten
// seconds.
func again[T any](deadline time.Time, try func() (T, error)) (T, error) {
	began, told := time.Now(), ""
	for {
		done, err := try()
		if err == nil || !mayPass(err, time.Since(began)) || time.Now().After(deadline) {
			return done, err
		}
		if says := err.Error(); says != told {
			told = says
			fmt.Fprintf(os.Stderr, "apply: tried again: %v\n", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// nameOf makes `issuers.cert-manager.io` of `…/cert-manager.io_issuers.yaml`, which is how controller-gen names files.
func nameOf(file string) (string, error) {
	group, plural, found := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "_")
	if !found {
		return "", fmt.Errorf("%s is not named GROUP_PLURAL.yaml", file)
	}
	return plural + "." + group, nil
}

type apiserver struct {
	client *http.Client
	url    string
	token  string
}

func connect() (*apiserver, error) {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	return &apiserver{
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second},
		url:    "https://" + host,
		token:  strings.TrimSpace(string(token)),
	}, nil
}

func (api *apiserver) ask(method, path string, manifest []byte) ([]byte, error) {
	request, err := http.NewRequest(method, api.url+path, bytes.NewReader(manifest))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+api.token)
	if manifest != nil {
		request.Header.Set("Content-Type", "application/apply-patch+yaml")
	}
	answer, err := api.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		return nil, refused{answer.StatusCode, fmt.Sprintf("%s: %s", answer.Status, body)}
	}
	return body, nil
}

func (api *apiserver) serves(name string) (bool, error) {
	body, err := api.ask(http.MethodGet, kinds+name, nil)
	if err != nil {
		return false, err
	}
	var kind struct {
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	if err := json.Unmarshal(body, &kind); err != nil {
		return false, err
	}
	for _, condition := range kind.Status.Conditions {
		if condition.Type == "Established" && condition.Status == "True" {
			return true, nil
		}
	}
	return false, nil
}
