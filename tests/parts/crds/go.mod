// The modules that hold the CustomResourceDefinitions (see fetch). Nothing of them is built.
module spanferry.invalid/crds

go 1.24

require (
	github.com/envoyproxy/gateway v1.9.1
	istio.io/api v1.32.0
)
