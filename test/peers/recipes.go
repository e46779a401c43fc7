package peers

import "sort"

// A recipe says how one binary is built.
type recipe struct {
	// folder of the peer's module, beside this file.
	folder string
	// version names the cache folder; the hash of the inputs is what makes it
	// right.
	version string
	// pkg is the main package.
	pkg string
	// variables are set with the linker's -X.
	variables []string
	// measured: only benchmarks need it.
	measured bool
}

// recipes lists every binary by its name.
func recipes() map[string]recipe {
	return map[string]recipe{
		"kube-apiserver":               newest("kube-apiserver"),
		"kube-controller-manager":      newest("kube-controller-manager"),
		"kube-scheduler":               newest("kube-scheduler"),
		"kubectl":                      newest("kubectl"),
		"kubelet":                      newest("kubelet"),
		"kube-apiserver-1.29":          oldest("kube-apiserver"),
		"kube-controller-manager-1.29": oldest("kube-controller-manager"),
		"kube-scheduler-1.29":          oldest("kube-scheduler"),
		"kubelet-1.29":                 oldest("kubelet"),
		"etcd":                         {folder: "etcd", version: "v3.7.3", pkg: "."},
		// Debian's containerd 1.6 is too old for a kubelet from 1.36 on.
		"containerd":              containerd("containerd"),
		"containerd-shim-runc-v2": containerd("containerd-shim-runc-v2"),
		"ctr":                     containerd("ctr"),
		"crossplane": {
			folder:  "crossplane",
			version: "v2.4.0",
			pkg:     "github.com/crossplane/crossplane/v2/cmd/crossplane",
			variables: []string{
				"github.com/crossplane/crossplane-runtime/v2/pkg/version.version=v2.4.0",
				// The RBAC manager has no flag for the port of its metrics. On a
				// developer's machine 8080 is taken; "0" serves none.
				"sigs.k8s.io/controller-runtime/pkg/metrics/server.DefaultBindAddress=0",
			},
		},
		"crank": {
			folder:    "crank",
			version:   "v2.2.1",
			pkg:       "github.com/crossplane/crossplane/v2/cmd/crank",
			variables: []string{"github.com/crossplane/crossplane/v2/internal/version.version=v2.2.1"},
		},
		// The last version before required resources.
		"crank-1.20": {
			folder:    "crank-1.20",
			version:   "v1.20.7",
			pkg:       "github.com/crossplane/crossplane/cmd/crank",
			variables: []string{"github.com/crossplane/crossplane/internal/version.version=v1.20.7"},
		},
		// Ours, and of the same version: speaks to crossplane's render engine.
		"crossplane-render":    {folder: "crossplane-render", version: "v2.4.0", pkg: "."},
		"kube-state-metrics":   {folder: "kube-state-metrics", version: "v2.20.0", pkg: "k8s.io/kube-state-metrics/v2"},
		"source-controller":    flux("source-controller"),
		"kustomize-controller": flux("kustomize-controller"),
		// Another S3 server, with a security token service.
		"weed": {folder: "seaweedfs", version: "v0.0.0-20261109003541-7506e5f91cd6", pkg: "github.com/seaweedfs/seaweedfs/weed"},
		// An S3 server with versions and object lock.
		"versitygw":           {folder: "versitygw", version: "v1.8.0", pkg: "github.com/versity/versitygw/cmd/versitygw"},
		"function-auto-ready": {folder: "function-auto-ready", version: "v0.7.0", pkg: "github.com/crossplane/function-auto-ready", measured: true},
		"kopia":               {folder: "kopia", version: "v0.21.1", pkg: "github.com/kopia/kopia", measured: true},
		// The last version that the module proxy has. Its version is in its source.
		"threescale-operator": {folder: "threescale-operator", version: "v0.11.0", pkg: "github.com/3scale/3scale-operator"},
	}
}

func newest(command string) recipe { return kubernetes("kubernetes", "37", "v1.37.2", command) }

// oldest is of the oldest minor that the README promises.
func oldest(command string) recipe { return kubernetes("kubernetes-1.29", "29", "v1.29.15", command) }

// kubernetes is the recipe of one of Kubernetes' programs. Without the version
// the API server would call itself v0.0.0, which clients refuse.
func kubernetes(folder, minor, version, command string) recipe {
	const variable = "k8s.io/component-base/version."
	return recipe{
		folder:    folder,
		version:   version,
		pkg:       "k8s.io/kubernetes/cmd/" + command,
		variables: []string{variable + "gitVersion=" + version, variable + "gitMajor=1", variable + "gitMinor=" + minor},
	}
}

// containerd is the recipe of one of containerd's programs.
func containerd(command string) recipe {
	return recipe{folder: "containerd", version: "v2.4.2", pkg: "github.com/containerd/containerd/v2/cmd/" + command}
}

// flux is the recipe of one of Flux's controllers, whose main package is its
// module's root.
func flux(controller string) recipe {
	return recipe{folder: controller, version: "v1.9.6", pkg: "github.com/fluxcd/" + controller}
}

// modules names the module in which a peer's data files are: CRDs, charts, rights.
func modules() map[string]string {
	return map[string]string{
		"crossplane":           "github.com/crossplane/crossplane/v2",
		"flux":                 "github.com/fluxcd/flux2/v2",
		"kustomize-controller": "github.com/fluxcd/kustomize-controller",
		"source-controller":    "github.com/fluxcd/source-controller",
		"threescale-operator":  "github.com/3scale/3scale-operator",
	}
}

// Names lists the binaries that the tests need, in alphabetical order.
func Names() []string {
	var names []string
	for name, recipe := range recipes() {
		if !recipe.measured {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}
