//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// StandardClass is the default StorageClass: a volume is made where the
	// first pod runs, and deleted with its PVC.
	StandardClass = "standard"
	// RetainClass makes a volume at once and keeps it.
	RetainClass = "retain"

	provisionerName = "backup.threescale.dev/test"
	// annSelectedNode is set by the scheduler when the first consumer has one.
	annSelectedNode  = "volume.kubernetes.io/selected-node"
	annProvisionedBy = "pv.kubernetes.io/provisioned-by"
	annDefaultClass  = "storageclass.kubernetes.io/is-default-class"
)

// A provisioner makes and deletes the volumes of our two StorageClasses, as an
// external provisioner does on any cluster.
type provisioner struct {
	cluster *Cluster
	cancel  context.CancelFunc
	done    chan struct{}
	changed chan struct{}
	pvcs    corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
}

// startStorage makes the StorageClasses and starts their provisioner.
func (c *Cluster) startStorage(ctx context.Context) error {
	for _, class := range storageClasses() {
		if err := c.client.Create(ctx, class); err != nil {
			return fmt.Errorf("cannot create StorageClass %q: %w", class.Name, err)
		}
	}
	clientset, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("cannot create client of provisioner: %w", err)
	}
	factory := informers.NewSharedInformerFactory(clientset, 0)
	pvcs, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	p := &provisioner{
		cluster: c,
		done:    make(chan struct{}),
		changed: make(chan struct{}, 1),
		pvcs:    pvcs.Lister(),
		volumes: volumes.Lister(),
	}
	for _, informer := range []cache.SharedIndexInformer{pvcs.Informer(), volumes.Informer()} {
		if _, err := informer.AddEventHandler(p.handler()); err != nil {
			return fmt.Errorf("cannot watch for provisioner: %w", err)
		}
	}
	// It runs until the cluster stops, not until Start returns.
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	factory.Start(loop.Done())
	factory.WaitForCacheSync(ctx.Done())
	if ctx.Err() != nil {
		cancel()
		return fmt.Errorf("cannot start provisioner: %w", context.Cause(ctx))
	}
	go p.loop(loop)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.provisioner = p
	return nil
}

func storageClasses() []*storagev1.StorageClass {
	wait, immediate := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	remove, retain := corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain
	fixed := false
	return []*storagev1.StorageClass{
		{
			ObjectMeta:           metav1.ObjectMeta{Name: StandardClass, Annotations: map[string]string{annDefaultClass: "true"}},
			Provisioner:          provisionerName,
			ReclaimPolicy:        &remove,
			VolumeBindingMode:    &wait,
			AllowVolumeExpansion: &fixed,
		},
		{
			ObjectMeta:           metav1.ObjectMeta{Name: RetainClass},
			Provisioner:          provisionerName,
			ReclaimPolicy:        &retain,
			VolumeBindingMode:    &immediate,
			AllowVolumeExpansion: &fixed,
		},
	}
}

// handler wakes the loop up, which then looks at everything: there are few
// volumes, and nothing is forgotten.
func (p *provisioner) handler() cache.ResourceEventHandlerFuncs {
	wake := func() {
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
	}
}

func (p *provisioner) loop(ctx context.Context) {
	defer close(p.done)
	// What failed is tried again now and then.
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		case <-ticker.C:
		}
		if err := p.reconcile(ctx); err != nil && ctx.Err() == nil {
			p.cluster.options.Logf("provisioner: %v", err)
		}
	}
}

func (p *provisioner) stop() {
	p.cancel()
	<-p.done
}

func (p *provisioner) reconcile(ctx context.Context) error {
	pvcs, err := p.pvcs.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("cannot list PVCs: %w", err)
	}
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("cannot list volumes: %w", err)
	}
	var errs []error
	for _, pvc := range pvcs {
		if class := classToProvision(pvc); class != nil {
			errs = append(errs, p.provision(ctx, pvc, class))
		}
	}
	for _, volume := range volumes {
		if shouldDelete(volume) {
			errs = append(errs, p.delete(ctx, volume))
		}
	}
	return errors.Join(errs...)
}

// classToProvision returns the PVC's class if it is one of ours and a volume
// has to be made now.
func classToProvision(pvc *corev1.PersistentVolumeClaim) *storagev1.StorageClass {
	if pvc.Spec.VolumeName != "" || pvc.Spec.Selector != nil || pvc.DeletionTimestamp != nil || pvc.Spec.StorageClassName == nil {
		return nil
	}
	for _, class := range storageClasses() {
		if class.Name != *pvc.Spec.StorageClassName {
			continue
		}
		if *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer && pvc.Annotations[annSelectedNode] == "" {
			return nil
		}
		return class
	}
	return nil
}

// shouldDelete reports whether a volume of ours lost its PVC and is not to be
// kept.
func shouldDelete(volume *corev1.PersistentVolume) bool {
	return volume.Annotations[annProvisionedBy] == provisionerName &&
		volume.Status.Phase == corev1.VolumeReleased &&
		volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete &&
		volume.DeletionTimestamp == nil
}

// provision makes a folder and a PersistentVolume that only this PVC can
// bind. Its name follows from the PVC, so that it is made once.
func (p *provisioner) provision(ctx context.Context, pvc *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	name := "pvc-" + string(pvc.UID)
	if _, err := p.volumes.Get(name); err == nil {
		return nil
	}
	path := filepath.Join(p.cluster.volumeDir(), name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("cannot create folder of volume %q: %w", name, err)
	}
	size := pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	volume, err := persistentVolume(VolumeOptions{
		Name:          name,
		Capacity:      size.String(),
		AccessModes:   pvc.Spec.AccessModes,
		StorageClass:  class.Name,
		ReclaimPolicy: *class.ReclaimPolicy,
	}, path)
	if err != nil {
		return err
	}
	volume.Annotations = map[string]string{annProvisionedBy: provisionerName}
	volume.Spec.VolumeMode = pvc.Spec.VolumeMode
	volume.Spec.ClaimRef = &corev1.ObjectReference{
		APIVersion: "v1", Kind: "PersistentVolumeClaim",
		Namespace: pvc.Namespace, Name: pvc.Name, UID: pvc.UID, ResourceVersion: pvc.ResourceVersion,
	}
	if err := p.cluster.client.Create(ctx, volume); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("cannot create PersistentVolume %q: %w", name, err)
	}
	return nil
}

// delete removes the files first: a volume whose files are still there must
// not be forgotten.
func (p *provisioner) delete(ctx context.Context, volume *corev1.PersistentVolume) error {
	path := filepath.Join(p.cluster.volumeDir(), volume.Name)
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("cannot remove folder of volume %q: %w", volume.Name, err)
	}
	if err := p.cluster.client.Delete(ctx, volume); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cannot delete PersistentVolume %q: %w", volume.Name, err)
	}
	return nil
}
