//go:build e2e && linux

package cluster_test

import (
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"threescale.dev/backup/test/cluster"
)

func TestStress(t *testing.T) {
	for i := range 12 {
		os.RemoveAll("/tmp/stresslogs")
		os.MkdirAll("/tmp/stresslogs", 0o755)
		c, err := cluster.Start(t.Context(), cluster.Options{LogDir: "/tmp/stresslogs", WithoutCrossplane: i%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		for _, filesystem := range []cluster.Filesystem{cluster.Ext4, cluster.Tmpfs, cluster.Linkless} {
			if _, err := c.Volume(t.Context(), cluster.VolumeOptions{Name: strings.ToLower(string(filesystem)), Filesystem: filesystem}); err != nil {
				t.Fatal(err)
			}
		}
		s := time.Now()
		err = runPod(t.Context(), c)
		log.Println(i, time.Since(s), err)
		if err != nil {
			log.Println(c.Dump(t.Context(), "/tmp/stressdump"))
			c.Stop()
			t.Fatal()
		}
		c.Stop()
	}
}
