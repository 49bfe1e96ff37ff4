// Command controller is cert-manager's controller: the published module has its controllers and not the command that
// starts them. It has those flags of the published command that matter here, under the same names.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

// The published command's defaults.
const (
	workers           = 5
	maxChallenges     = 60
	clusterIssuers    = "clusterissuers"
	minimumBackoff    = time.Hour
	maximumBackoff    = 32 * time.Hour
	copiedAnnotations = "*,-kubectl.kubernetes.io/,-fluxcd.io/,-argocd.argoproj.io/"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "cert-manager: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	flags := flag.NewFlagSet("controller", flag.ContinueOnError)
	namespace := flags.String("namespace", "", "the only namespace to watch; empty for all")
	resources := flags.String("cluster-resource-namespace", "kube-system", "where the Secrets of ClusterIssuers are")
	solver := flags.String("acme-http01-solver-image", "", "the image that answers HTTP-01 challenges")
	servers := flags.String("dns01-recursive-nameservers", "", "name servers for the check before a DNS-01 challenge")
	recursive := flags.Bool("dns01-recursive-nameservers-only", false, "whether only those servers are asked")
	retry := flags.Duration("dns01-check-retry-period", 10*time.Second, "time between checks of a challenge, of both kinds")
	_ = flags.Bool("leader-elect", false, "no election: there is one replica")
	verbosity := flags.Int("v", 2, "how much is logged")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}

	log := textlogger.NewLogger(textlogger.NewConfig(textlogger.Verbosity(*verbosity)))
	klog.SetLogger(log)
	logf.Log = log
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx = logf.NewContext(ctx, log)

	options := controller.ContextOptions{
		Namespace:          *namespace,
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions: controller.IssuerOptions{
			ClusterResourceNamespace:        *resources,
			ClusterIssuerAmbientCredentials: true,
		},
		ACMEOptions: controller.ACMEOptions{
			HTTP01SolverImage:                 *solver,
			HTTP01SolverResourceRequestCPU:    resource.MustParse("10m"),
			HTTP01SolverResourceRequestMemory: resource.MustParse("64Mi"),
			HTTP01SolverResourceLimitsCPU:     resource.MustParse("100m"),
			HTTP01SolverResourceLimitsMemory:  resource.MustParse("64Mi"),
			ACMEHTTP01SolverRunAsNonRoot:      true,
			DNS01CheckAuthoritative:           !*recursive,
			DNS01CheckRetryPeriod:             *retry,
		},
		IngressShimOptions: controller.IngressShimOptions{
			DefaultIssuerKind:                 "Issuer",
			DefaultIssuerGroup:                "cert-manager.io",
			DefaultAutoCertificateAnnotations: []string{"kubernetes.io/tls-acme"},
		},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes:                 strings.Split(copiedAnnotations, ","),
			CertificateRequestMinimumBackoffDuration: minimumBackoff,
			CertificateRequestMaximumBackoffDuration: maximumBackoff,
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: maxChallenges},
	}
	if *servers != "" {
		options.ACMEOptions.DNS01Nameservers = strings.Split(*servers, ",")
	}
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}

	controllers := map[string]controller.Interface{}
	for name, construct := range controller.Known() {
		// With one namespace, ClusterIssuers are not watched, as with the published command.
		if name == clusterIssuers && *namespace != "" {
			continue
		}
		if controllers[name], err = construct(factory); err != nil {
			return fmt.Errorf("controller %s: %w", name, err)
		}
	}

	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())

	health := &http.Server{Addr: ":9403", ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(answer http.ResponseWriter, _ *http.Request) { _, _ = answer.Write([]byte("ok\n")) },
	)}
	go func() { _ = health.ListenAndServe() }()

	var running sync.WaitGroup
	failures := make(chan error, len(controllers))
	for name, one := range controllers {
		running.Go(func() {
			if err := one.Run(workers, ctx); err != nil {
				failures <- fmt.Errorf("controller %s: %w", name, err)
				stop()
			}
		})
	}
	names := make([]string, 0, len(controllers))
	for name := range controllers {
		names = append(names, name)
	}
	slices.Sort(names)
	log.Info("started controllers", "names", names)
	running.Wait()
	close(failures)
	return <-failures
}
