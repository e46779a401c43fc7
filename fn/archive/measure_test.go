package archive

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var genDir = flag.String("gen", "", "x")
var src = flag.String("src", "", "x")
var vol = flag.String("vol", "", "x")
var run = flag.String("runid", "r1", "x")
var workers = flag.Int("w", 0, "x")
var prof = flag.String("prof", "", "x")

func TestGen(t *testing.T) {
	if *genDir == "" {
		t.Skip()
	}
	datasetM().write(t, *genDir+"/M")
	datasetL().write(t, *genDir+"/L")
	datasetXL().write(t, *genDir+"/XL")
}
func TestRun(t *testing.T) {
	if *src == "" {
		t.Skip()
	}
	if *prof != "" {
		f, _ := os.Create(*prof)
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	v, err := OpenVolume(*vol)
	require.NoError(t, err)
	t0 := time.Now()
	var last Phase
	r, err := v.Write(context.Background(), WriteOptions{Run: *run, Holder: "h", Files: *src, Now: time.Now, Workers: *workers, Objects: []Object{{"secrets/a.json", []byte("{}")}},
		Progress: func(p Progress) {
			if p.Phase != last {
				last = p.Phase
				fmt.Printf("%s at %.3f ", last, time.Since(t0).Seconds())
			}
		}})
	fmt.Printf("end %.3f\n", time.Since(t0).Seconds())
	require.NoError(t, err)
	_ = r
}
