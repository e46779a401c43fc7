//go:build linux

// Package threescale runs the 3scale operator in a cluster, with what it needs
// around it: OpenShift's kinds and controllers, and porta and Zync. Start with
// [Start].
package threescale

import (
	"context"
	"errors"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/openshift"
	"threescale.dev/backup/test/porta"
)

// A Stage is what plays around the operators of a cluster, from Start to Stop.
type Stage struct {
	cluster   *cluster.Cluster
	OpenShift *openshift.OpenShift
	Porta     *porta.Porta
}

// Start loads the images and starts the players.
func Start(ctx context.Context, c *cluster.Cluster) (*Stage, error) {
	if err := c.InstallThreeScale(ctx); err != nil {
		return nil, err
	}
	if err := porta.LoadImage(ctx, c); err != nil {
		return nil, err
	}
	if err := c.LoadOCImage(ctx); err != nil {
		return nil, err
	}
	s := &Stage{cluster: c}
	var err error
	if s.OpenShift, err = openshift.Start(ctx, c.Config()); err != nil {
		return nil, err
	}
	if s.Porta, err = porta.Start(ctx, c.Config()); err != nil {
		return nil, errors.Join(err, s.OpenShift.Stop())
	}
	return s, nil
}

// Stop ends the players, not the operators.
func (s *Stage) Stop() error { return errors.Join(s.Porta.Stop(), s.OpenShift.Stop()) }

// Operate has the operator look after a namespace whose installation uses a
// Database. It ends with the cluster, or when its process is stopped.
func (s *Stage) Operate(ctx context.Context, namespace string, d *porta.Database) (*cluster.Process, error) {
	s.Porta.Use(namespace, d)
	return s.cluster.StartThreeScaleOperator(ctx, namespace, cluster.ThreeScaleOperatorOptions{
		SystemImage: porta.SystemImage, OCImage: cluster.OCImage,
	})
}
