// Command rails stands for bash, and for the entrypoint, in the image of System:
// it does what the three commands of the 3scale operator do that a restore meets,
// and no other.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"threescale.dev/backup/test/porta/redis"
)

const (
	// checkService is the init container's (operator v0.11.0,
	// pkg/3scale/amp/component/system.go, SidekiqDeploymentConfig; sidekiqInit in
	// newer ones).
	checkService = `bundle exec sh -c "until rake boot:redis && curl --output /dev/null --silent --fail --head http://system-master:3000/status; do sleep $SLEEP_SECONDS; done"`
	// resync is what APIManagerRestore and the documentation run (operator v0.11.0,
	// pkg/restore/apimanager_restore.go, zyncResyncDomainsContainerArgs).
	resync = "bundle exec rake zync:resync:domains"

	// extraConfigs is where the ConfigMap "system" is mounted (operator, the same
	// file, systemConfigVolumeMount; porta, openshift/system/entrypoint.sh).
	extraConfigs = "/opt/system-extra-configs"
	namespace    = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

	notFound = 127
)

// environment is what porta does not boot without, or not against what is meant
// (porta, config/examples): it has a default for most, which is a developer's.
func environment() []string {
	return []string{
		"RAILS_ENV",                                                // the section of each file that is read
		"SECRET_KEY_BASE",                                          // Rails itself, in production
		"DATABASE_URL",                                             // database.yml
		"REDIS_URL",                                                // redis.yml
		"BACKEND_REDIS_URL",                                        // backend_redis.yml
		"THREESCALE_SUPERDOMAIN",                                   // sandbox_proxy.yml
		"CONFIG_INTERNAL_API_USER", "CONFIG_INTERNAL_API_PASSWORD", // core.yml
		"ZYNC_AUTHENTICATION_TOKEN", // zync.yml of the operator fetches it
	}
}

func main() {
	go endWhenTold()
	code, err := run(filepath.Base(os.Args[0]), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(program string, args []string) (int, error) {
	var err error
	switch {
	case program == "bash" && slices.Equal(args, []string{"-c", checkService}):
		waitForServices()
	case program == "bash" && slices.Equal(args, []string{"-c", resync}),
		program != "bash" && slices.Equal(args, []string{"bash", "-c", resync}): // entrypoint.sh executes its arguments
		err = resyncDomains()
	case program != "bash" && len(args) > 1 && slices.Equal(args[:2], []string{"rake", "sidekiq:worker"}):
		if err = boot(); err == nil {
			select {} // As sidekiq without a job: what jobs do is played elsewhere.
		}
	default:
		return notFound, fmt.Errorf("unknown command of %s: %q", program, args)
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// endWhenTold ends as Ruby does, which the kernel would not do by itself: it asks
// the first process of a container in vain that has no handler.
func endWhenTold() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	os.Exit(128 + int(syscall.SIGTERM))
}

// boot fails where porta does not boot.
func boot() error {
	var missing []string
	for _, name := range environment() {
		if os.Getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("cannot boot without %s", strings.Join(missing, ", "))
	}
	for _, name := range []string{"zync.yml", "rolling_updates.yml", "service_discovery.yml"} {
		data, err := os.ReadFile(filepath.Join(extraConfigs, name))
		if err != nil {
			return fmt.Errorf("cannot boot: %w", err)
		}
		if len(data) == 0 {
			return fmt.Errorf("cannot boot: %s is empty", name)
		}
	}
	return nil
}

// resyncDomains publishes the events of all tenants, as lib/tasks/zync.rake of
// porta does: each becomes a job in the queue "zync" (app/workers/zync_worker.rb).
// One job stands for all of them here. Where Redis does not take it, porta only
// logs that, and the task ends well (app/lib/event_store/repository.rb rescues
// what publish_event raises).
func resyncDomains() error {
	if err := boot(); err != nil {
		return err
	}
	fmt.Println("== Resyncing providers ==")
	if err := push(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	fmt.Println("100.0% completed")
	return nil
}

func push() (err error) {
	conn, err := redis.Dial(os.Getenv("REDIS_URL"))
	if err != nil {
		return fmt.Errorf("cannot connect to Redis: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.Do("LPUSH", "queue:zync", `{"class":"ZyncWorker","queue":"zync"}`); err != nil {
		return fmt.Errorf("cannot push a job: %w", err)
	}
	return nil
}

// waitForServices is the loop of the init container, with its own second between.
func waitForServices() {
	for ticker := time.NewTicker(time.Second); ; <-ticker.C {
		err := checkServices()
		if err == nil {
			return
		}
		fmt.Fprintln(os.Stderr, err)
	}
}

// checkServices asks Redis, and there for System too: nothing listens where the
// Service system-master leads to.
func checkServices() (err error) {
	conn, err := redis.Dial(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.Do("PING"); err != nil {
		return err
	}
	name, err := os.ReadFile(namespace)
	if err != nil {
		return err
	}
	answer, err := conn.Do("EXISTS", "system-master."+string(name))
	if err == nil && answer != "1" {
		err = errors.New("system-master does not answer")
	}
	return err
}
