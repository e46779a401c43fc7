//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster/machine"
)

// A Filesystem is what a volume is made of.
type Filesystem string

const (
	// Directory is a folder of the machine's own disk, owned by root.
	Directory Filesystem = "Directory"
	// Ext4 is a new file system on a loop device: it is owned by root, has a
	// lost+found, and is full when it is full.
	Ext4 Filesystem = "Ext4"
	// Tmpfs is in memory, with a size.
	Tmpfs Filesystem = "Tmpfs"
	// Linkless is an exFAT in user space: no symbolic links, no hard links, no
	// owners and no modes. Everybody may write.
	Linkless Filesystem = "Linkless"
)

// VolumeOptions describe a volume and the PersistentVolume for it.
type VolumeOptions struct {
	// Name of the PersistentVolume.
	Name string
	// Filesystem is a Directory by default.
	Filesystem Filesystem
	// SizeMiB of every file system that is not a Directory; 64 by default.
	SizeMiB int
	// ReadOnly mounts it so that nobody can write; a Directory cannot be.
	ReadOnly bool
	// Capacity that the PersistentVolume claims to have; its size by default,
	// 1Gi for a Directory.
	Capacity string
	// AccessModes are ReadWriteOnce by default.
	AccessModes []corev1.PersistentVolumeAccessMode
	// StorageClass of the PersistentVolume. None by default.
	StorageClass string
	// ReclaimPolicy is Retain by default.
	ReclaimPolicy corev1.PersistentVolumeReclaimPolicy
	// HostPath makes a hostPath volume: the kubelet does not change its owner
	// for fsGroup. By default it is a local volume, where it does.
	HostPath bool
	// Labels of the PersistentVolume.
	Labels map[string]string
}

// A Volume is a PersistentVolume and what it is made of.
type Volume struct {
	// Name of the PersistentVolume.
	Name string
	// Path at which its files are on this machine.
	Path string

	cluster *Cluster
}

// volumeDir holds all volumes. Mounts in it propagate to the node.
func (c *Cluster) volumeDir() string { return c.path("volumes") }

// Volume makes a file system and a PersistentVolume for it. Both go with the
// cluster, if not before.
func (c *Cluster) Volume(ctx context.Context, o VolumeOptions) (*Volume, error) {
	o = o.withDefaults()
	v := &Volume{Name: o.Name, Path: filepath.Join(c.volumeDir(), o.Name), cluster: c}
	if err := os.Mkdir(v.Path, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create folder of volume %q: %w", o.Name, err)
	}
	if err := v.mount(ctx, o); err != nil {
		return nil, errors.Join(err, v.unmount(ctx))
	}
	pv, err := persistentVolume(o, v.Path)
	if err != nil {
		return nil, errors.Join(err, v.unmount(ctx))
	}
	if err := c.client.Create(ctx, pv); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot create PersistentVolume %q: %w", o.Name, err), v.unmount(ctx))
	}
	return v, nil
}

// Remove deletes the PersistentVolume and the files. The cluster's end does the
// same.
func (v *Volume) Remove(ctx context.Context) error {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: v.Name}}
	if err := v.cluster.client.Delete(ctx, pv); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cannot delete PersistentVolume %q: %w", v.Name, err)
	}
	return v.unmount(ctx)
}

// Remount mounts the volume's file system again, read-only or not. It does not
// work for a Directory or a Linkless one.
func (v *Volume) Remount(ctx context.Context, mode MountMode) error {
	_, err := run(ctx, "mount", "-o", "remount,"+string(mode), v.Path)
	return err
}

// A MountMode says whether a file system can be written.
type MountMode string

const (
	// ReadWrite lets everybody write who may.
	ReadWrite MountMode = "rw"
	// ReadOnly lets nobody write.
	ReadOnly MountMode = "ro"
)

func (o VolumeOptions) withDefaults() VolumeOptions {
	if o.Filesystem == "" {
		o.Filesystem = Directory
	}
	if o.SizeMiB == 0 {
		o.SizeMiB = 64
	}
	if o.Capacity == "" {
		o.Capacity = "1Gi"
		if o.Filesystem != Directory {
			o.Capacity = strconv.Itoa(o.SizeMiB) + "Mi"
		}
	}
	if len(o.AccessModes) == 0 {
		o.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	if o.ReclaimPolicy == "" {
		o.ReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	}
	return o
}

// mount makes the file system and mounts it at the volume's path.
func (v *Volume) mount(ctx context.Context, o VolumeOptions) error {
	mode := ReadWrite
	if o.ReadOnly {
		mode = ReadOnly
	}
	switch o.Filesystem {
	case Directory:
		if o.ReadOnly {
			return fmt.Errorf("cannot make volume %q: a Directory cannot be read-only", o.Name)
		}
		return nil
	case Tmpfs:
		_, err := run(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=755,%s", o.SizeMiB, mode), "tmpfs", v.Path)
		return err
	case Ext4:
		if err := v.format(ctx, o.SizeMiB, "mkfs.ext4", "-q", "-F"); err != nil {
			return err
		}
		// A loop device that was set up read-only could not be remounted.
		if _, err := run(ctx, "mount", "-o", "loop", v.image(), v.Path); err != nil || !o.ReadOnly {
			return err
		}
		return v.Remount(ctx, ReadOnly)
	case Linkless:
		if err := v.format(ctx, o.SizeMiB, "mkfs.exfat"); err != nil {
			return err
		}
		return v.mountLinkless(ctx, mode)
	}
	return fmt.Errorf("cannot make volume %q: there is no file system %q", o.Name, o.Filesystem)
}

// image is the file in which the volume's file system is.
func (v *Volume) image() string { return v.Path + ".img" }

// format makes a sparse file with an empty file system.
func (v *Volume) format(ctx context.Context, sizeMiB int, command ...string) error {
	if err := os.WriteFile(v.image(), nil, 0o600); err != nil {
		return fmt.Errorf("cannot create image of volume %q: %w", v.Name, err)
	}
	if err := os.Truncate(v.image(), int64(sizeMiB)<<20); err != nil {
		return fmt.Errorf("cannot size image of volume %q: %w", v.Name, err)
	}
	_, err := run(ctx, command[0], append(command[1:], v.image())...)
	return err
}

// mountLinkless starts the program that serves an exFAT in user space.
func (v *Volume) mountLinkless(ctx context.Context, mode MountMode) error {
	device, err := run(ctx, "losetup", "--find", "--show", v.image())
	if err != nil {
		return err
	}
	device = strings.TrimSpace(device)
	_, err = v.cluster.StartProcess(ProcessOptions{
		Name: "exfat-" + v.Name,
		Path: "mount.exfat-fuse",
		Args: []string{"-d", "-o", string(mode) + ",allow_other,umask=000", device, v.Path}, // -d keeps it our child
	})
	if err != nil {
		_, detachErr := run(ctx, "losetup", "--detach", device)
		return errors.Join(err, detachErr)
	}
	err = Eventually(ctx, graceful, "file system of volume "+v.Name, func(context.Context) error {
		points, err := machine.MountsBelow(v.Path)
		if err == nil && len(points) == 0 {
			err = errors.New("it is not mounted")
		}
		return err
	})
	// From now on the device goes when the program ends.
	_, detachErr := run(ctx, "losetup", "--detach", device)
	return errors.Join(err, detachErr)
}

// unmount removes the file system and its files. Pods that still have it keep
// it until they end.
func (v *Volume) unmount(ctx context.Context) error {
	points, err := machine.MountsBelow(v.Path)
	if err != nil {
		return err
	}
	for _, point := range points {
		if _, err := run(ctx, "umount", "--lazy", point); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(v.Path); err != nil {
		return fmt.Errorf("cannot remove folder of volume %q: %w", v.Name, err)
	}
	if err := os.RemoveAll(v.image()); err != nil {
		return fmt.Errorf("cannot remove image of volume %q: %w", v.Name, err)
	}
	return nil
}

// persistentVolume is the PersistentVolume for a folder on the node.
func persistentVolume(o VolumeOptions, path string) (*corev1.PersistentVolume, error) {
	capacity, err := resource.ParseQuantity(o.Capacity)
	if err != nil {
		return nil, fmt.Errorf("cannot parse capacity %q of volume %q: %w", o.Capacity, o.Name, err)
	}
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.Name, Labels: o.Labels},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: capacity},
			AccessModes:                   o.AccessModes,
			StorageClassName:              o.StorageClass,
			PersistentVolumeReclaimPolicy: o.ReclaimPolicy,
		},
	}
	if o.HostPath {
		pv.Spec.HostPath = &corev1.HostPathVolumeSource{Path: path}
		return pv, nil
	}
	pv.Spec.Local = &corev1.LocalVolumeSource{Path: path}
	pv.Spec.NodeAffinity = onNode()
	return pv, nil
}

// onNode is the affinity that a local volume has to have.
func onNode() *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{nodeName},
		}},
	}}}}
}
