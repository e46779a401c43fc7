package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Set names a size of file storage.
type Set string

const (
	// SetS is a fresh installation: 1 tenant, 120 files, about 1 MB.
	SetS Set = "S"
	// SetM fills the default volume of 3scale, 100 MiB: 10 tenants with 300 files each.
	SetM Set = "M"
	// SetL is many small files: 100 tenants with 2,000 files each, about 1.4 GB.
	SetL Set = "L"
	// SetXL is large files: 2,000 files of 1 MiB each.
	SetXL Set = "XL"
	// SetMillion is a million files of about 1 KiB: 1,000 tenants with 1,000 files each, about 1.2 GB.
	SetMillion Set = "million"
)

// Stats tells what Generate wrote. Files and Bytes count regular files;
// Directories leaves out the root.
type Stats struct {
	Set         Set   `json:"set"`
	Tenants     int   `json:"tenants"`
	Files       int   `json:"files"`
	Directories int   `json:"directories"`
	Bytes       int64 `json:"bytes"`
}

// shape describes a set: how many files there are and how large they are.
// Sizes follow a lognormal distribution, as sizes of uploaded files do.
type shape struct {
	tenants, filesPerTenant int
	mu, sigma               float64
	minSize, maxSize        int
	// bigShare is the share of files of 1 to 4 MiB that lie outside the distribution.
	bigShare float64
	// logos adds the five renderings of each tenant's logo; filesPerTenant counts them.
	logos bool
}

// shapeOf returns the description of a set. The tenants of SetXL have 100 files
// each, so that no directory becomes unusual.
func shapeOf(set Set) (shape, error) {
	const kiB, miB = 1 << 10, 1 << 20
	switch set {
	case SetS:
		return shape{tenants: 1, filesPerTenant: 120, mu: 8.7, sigma: 0.8, minSize: kiB / 2, maxSize: 64 * kiB, logos: true}, nil
	case SetM:
		return shape{tenants: 10, filesPerTenant: 300, mu: 9.6, sigma: 1.2, minSize: 2 * kiB, maxSize: 2 * miB, logos: true}, nil
	case SetL:
		return shape{tenants: 100, filesPerTenant: 2000, mu: 8.3, sigma: 0.8, minSize: 200, maxSize: 4 * miB, bigShare: 0.0005}, nil
	case SetXL:
		return shape{tenants: 20, filesPerTenant: 100, minSize: miB, maxSize: miB}, nil
	case SetMillion:
		return shape{tenants: 1000, filesPerTenant: 1000, mu: 6.9, sigma: 0.6, minSize: 200, maxSize: 16 * kiB}, nil
	}
	return shape{}, fmt.Errorf("cannot find set %q: there are S, M, L, XL and million", set)
}

// size draws the size of a file.
func (s shape) size(random *rand.Rand) int {
	if random.Float64() < s.bigShare {
		return 1<<20 + random.IntN(3<<20+1)
	}
	drawn := int(math.Exp(s.mu + s.sigma*random.NormFloat64()))
	return min(max(drawn, s.minSize), s.maxSize)
}
