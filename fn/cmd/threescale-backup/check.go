package main

import (
	"context"
	"fmt"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/fn/check/observe"
	"threescale.dev/backup/fn/cmd/internal/exit"
)

// checkCommand checks an installation in a cluster; it changes nothing.
type checkCommand struct {
	Kubeconfig               string `type:"existingfile" placeholder:"FILE" help:"Kubeconfig file; by default that of kubectl."`
	Context                  string `help:"Context of the kubeconfig; by default its current one."`
	CrossplaneNamespace      string `default:"crossplane-system" help:"Namespace of Crossplane."`
	CrossplaneServiceAccount string `default:"crossplane" help:"ServiceAccount that Crossplane runs as."`
	ControllerNamespace      string `default:"threescale-backup" help:"Namespace of the controller of restores."`
}

// checked is the answer in JSON.
type checked struct {
	Findings   []check.Finding `json:"findings"`
	Failed     int             `json:"failed"`
	Warnings   int             `json:"warnings"`
	NotChecked int             `json:"notChecked"`
}

// Run prints the findings; one that failed is an error with exit code 78.
func (k *checkCommand) Run(ctx context.Context, c *console) error {
	config, err := clusterConfig(k.Kubeconfig, k.Context).ClientConfig()
	if err != nil {
		return exit.Usage(fmt.Errorf("cannot reach a cluster (use --kubeconfig or --context): %w", err))
	}
	config.Timeout = requestTimeout
	observed, err := observe.Installation(ctx, config, observe.Options{
		Crossplane: check.Account{Namespace: k.CrossplaneNamespace, Name: k.CrossplaneServiceAccount},
		Controller: check.Account{Namespace: k.ControllerNamespace, Name: check.ControllerName},
	})
	if err != nil {
		return exit.With(job.ExitTemporary, err)
	}
	findings := check.Findings(observed)
	answer := checked{findings, check.Count(findings, check.Failed), check.Count(findings, check.Warning), check.Count(findings, check.NotChecked)}
	if c.json {
		err = c.encode(answer)
	} else {
		err = printFindings(c, &answer)
	}
	if err != nil || answer.Failed == 0 {
		return err
	}
	return exit.With(job.ExitConfig, fmt.Errorf("cannot work as installed: %d of %d checks failed", answer.Failed, len(findings)))
}

// printFindings prints one row a check, and below it how to fix what is wrong.
func printFindings(c *console, answer *checked) error {
	var rows [][]string
	for _, finding := range answer.Findings {
		rows = append(rows, []string{fmt.Sprint(finding.State), fmt.Sprint(finding.Area), finding.Check, finding.Message})
		if finding.Do != "" {
			rows = append(rows, []string{"", "", "", "to do: " + finding.Do})
		}
	}
	if err := c.table([]string{"STATE", "AREA", "CHECK", "FOUND"}, rows); err != nil {
		return err
	}
	c.sayf("%d checks: %d failed, %d warnings, %d not checked", len(answer.Findings), answer.Failed, answer.Warnings, answer.NotChecked)
	return nil
}
