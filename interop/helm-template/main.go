// Command helm-template renders a chart as `helm template` does, with Helm's own engine and nothing that talks to a
// cluster: helm-template CHART RELEASE NAMESPACE [VALUES.json]
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 3 {
		return fmt.Errorf("usage: helm-template CHART RELEASE NAMESPACE [VALUES.json]")
	}
	chart, err := loader.Load(arguments[0])
	if err != nil {
		return err
	}
	values := map[string]interface{}{}
	if len(arguments) > 3 {
		if err := json.Unmarshal([]byte(arguments[3]), &values); err != nil {
			return err
		}
	}
	options := chartutil.ReleaseOptions{Name: arguments[1], Namespace: arguments[2], IsInstall: true, Revision: 1}
	render, err := chartutil.ToRenderValues(chart, values, options, nil)
	if err != nil {
		return err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, render)
	if err != nil {
		return err
	}
	for _, crd := range chart.CRDObjects() {
		files[crd.Filename] = string(crd.File.Data)
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if strings.HasSuffix(name, "NOTES.txt") || strings.TrimSpace(files[name]) == "" {
			continue
		}
		fmt.Printf("---\n%s\n", strings.TrimPrefix(strings.TrimSpace(files[name]), "---"))
	}
	return nil
}
