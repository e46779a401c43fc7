package threescale

// Sidekiq is the name of the Deployment (of the DeploymentConfig, up to 3scale
// 2.14) that runs System's background jobs, and of its main container
// (component/system.go: SystemSidekiqName).
const Sidekiq = "system-sidekiq"

// defaultTenant is the tenantName of an APIManager that names none
// (apimanager_types.go: defaultTenantName).
const defaultTenant = "3scale"

// RouteHosts returns the hosts whose Routes have to be admitted before the
// operator calls an installation available: that of Backend, which the operator
// makes, and, unless zync is off, the five that Zync makes
// (controllers/apps/apimanager_status_reconciler.go: apimanagerExpectedRouteHosts;
// v0.11.0: defaultRoutesReady).
func RouteHosts(apiManager map[string]any) []string {
	tenant := text(apiManager, "spec", "tenantName")
	if tenant == "" {
		tenant = defaultTenant
	}
	names := []string{"backend-" + tenant}
	if ZyncIsEnabled(apiManager) {
		names = append(names, "api-"+tenant+"-apicast-production", "api-"+tenant+"-apicast-staging", "master", tenant, tenant+"-admin")
	}
	hosts := make([]string, len(names))
	for i, name := range names {
		hosts[i] = name + "." + WildcardDomain(apiManager)
	}
	return hosts
}
