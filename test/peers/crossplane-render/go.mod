module threescale.dev/backup/test/peers/crossplane-render

go 1.26.0

require (
	github.com/crossplane/crossplane/v2 v2.4.0
	google.golang.org/protobuf v1.36.11
)
