package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"
)

// repositoryRoot is where the manifests are that go into the packages.
const repositoryRoot = "../.."

const aRegistry = "127.0.0.1:5000/backup"

// newTestRelease is a release v0.1.0 of small binaries in a folder of its own.
func newTestRelease(t *testing.T) *release { return newVersion(t, aRegistry, "v0.1.0") }

func newVersion(t *testing.T, registry, version string) *release {
	t.Helper()
	output := t.TempDir()
	for _, architecture := range architectures() {
		for _, p := range programs() {
			for _, name := range p.binaries {
				writeBinary(t, output, architecture, name, "go1.26.8", sdkModule(), module("example.org/"+name, "v1.2.3"))
			}
		}
	}
	r, err := newRelease(repositoryRoot, output, registry, version)
	require.NoError(t, err)
	return r
}

func programs() []program { return []program{functionProgram(), controllerProgram()} }

func sdkModule() *debug.Module { return module("github.com/crossplane/function-sdk-go", "v0.7.1") }

func module(path, version string) *debug.Module { return &debug.Module{Path: path, Version: version} }

// writeBinary writes the least that the debug/buildinfo package takes for a Go
// program: one segment, with nothing but what the linker notes of modules.
// Linking real programs would take this test most of its time.
func writeBinary(t *testing.T, output, architecture, name, goVersion string, modules ...*debug.Module) {
	t.Helper()
	info := debug.BuildInfo{Path: "example.org/" + architecture + "/" + name, Main: debug.Module{Path: "example.org"}, Deps: modules}
	frame := strings.Repeat("\x00", 16)                 // the linker puts sentinels around
	data := []byte("\xff Go buildinf:\x00\x02" + frame) // 2: strings follow
	for _, text := range []string{goVersion, frame + info.String() + frame} {
		data = binary.AppendUvarint(data, uint64(len(text)))
		data = append(data, text...)
	}
	var out bytes.Buffer
	header := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Off: 128, Vaddr: 0x1000,
		Filesz: uint64(len(data)), Memsz: uint64(len(data)), Align: 16,
	}
	require.NoError(t, binary.Write(&out, binary.LittleEndian, header))
	require.NoError(t, binary.Write(&out, binary.LittleEndian, segment))
	out.Write(make([]byte, 128-out.Len()))
	out.Write(data)
	path := filepath.Join(output, "bin", "linux-"+architecture, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o700)) // the mode that an image has is not the file's
}

// startRegistry serves a registry in this process, and returns its address.
func startRegistry(t *testing.T, options ...registry.Option) string {
	t.Helper()
	server := httptest.NewServer(registry.New(append(options, registry.Logger(log.New(io.Discard, "", 0)))...))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
