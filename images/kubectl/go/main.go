// Command kubectl is the Kubernetes project's own kubectl. Called without arguments, it is the client of the contract in
// images/clients/programs/clients/contract.py: it reads a task, lets kubectl send the request with `get --raw`, and writes
// the outcome.
package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

type task struct {
	HTTP *request `json:"http"`
}

type request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

type outcome struct {
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	Failed string `json:"failed,omitempty"`
}

// client-go logs the status of each answer at this level of verbosity.
const verbosity = "-v=6"

var answered = regexp.MustCompile(`"Response".* status="(\d{3}) `)

// A line of the log begins with the letter of its severity and the month and day.
var logged = regexp.MustCompile(`^[IWEF]\d{4} `)

func main() {
	if len(os.Args) == 1 {
		client()
		return
	}
	// As in k8s.io/kubernetes/cmd/kubectl.
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}

func client() {
	var it task
	if err := json.NewDecoder(os.Stdin).Decode(&it); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	done := outcome{Failed: "this client only sends HTTP requests"}
	if it.HTTP != nil {
		done = send(*it.HTTP)
	}
	if err := json.NewEncoder(os.Stdout).Encode(done); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func send(it request) outcome {
	if it.Method != "GET" {
		return outcome{Failed: "`kubectl get --raw` sends GET and nothing else"}
	}
	at, err := url.Parse(it.URL)
	if err != nil {
		return outcome{Failed: err.Error()}
	}
	path := at.RequestURI()
	at.Path, at.RawPath, at.RawQuery = "", "", ""
	config, err := kubeconfig(at.String(), it.Headers)
	if err != nil {
		return outcome{Failed: err.Error()}
	}
	program, err := os.Executable()
	if err != nil {
		return outcome{Failed: err.Error()}
	}
	var out, said strings.Builder
	kubectl := exec.Command(program, "--kubeconfig", config, verbosity, "get", "--raw", path)
	kubectl.Stdout, kubectl.Stderr = &out, &said
	ended := kubectl.Run()
	var words []string
	status := 0
	for _, line := range strings.Split(said.String(), "\n") {
		if found := answered.FindStringSubmatch(line); found != nil {
			status, _ = strconv.Atoi(found[1])
		} else if !logged.MatchString(line) && strings.TrimSpace(line) != "" {
			words = append(words, line)
		}
	}
	if status == 0 {
		return outcome{Failed: strings.Join(words, "; ")}
	}
	if ended != nil {
		return outcome{Status: status, Body: strings.Join(words, "\n")}
	}
	return outcome{Status: status, Body: out.String()}
}

// kubeconfig writes a kubeconfig without CA data: kubectl then trusts what its system trusts.
func kubeconfig(server string, headers map[string]string) (string, error) {
	user := map[string]any{}
	for name, value := range headers {
		if token, found := strings.CutPrefix(value, "Bearer "); found && strings.EqualFold(name, "authorization") {
			user["token"] = token
			continue
		}
		return "", fmt.Errorf("kubectl sends no header `%s` of one's own", name)
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"clusters":        []any{map[string]any{"name": "it", "cluster": map[string]any{"server": server}}},
		"users":           []any{map[string]any{"name": "it", "user": user}},
		"contexts":        []any{map[string]any{"name": "it", "context": map[string]any{"cluster": "it", "user": "it"}}},
		"current-context": "it",
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(os.TempDir(), "kubeconfig")
	return path, os.WriteFile(path, text, 0o600)
}
