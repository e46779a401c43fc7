// Package monitoring tests manifests/monitoring: the metrics that
// kube-state-metrics makes, the rules of Prometheus and the dashboard of
// Grafana, each as it is shipped. [Load] reads them. [Base.AlertsTable] and
// [Config.MetricsTable] are the tables that its page shows:
//
//	go run ./test/monitoring/alerts
package monitoring
