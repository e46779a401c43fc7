module threescale.dev/backup/test/peers/threescale-operator

go 1.26.0

require github.com/3scale/3scale-operator v0.11.0
