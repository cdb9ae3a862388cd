// The reference of the comparison: the work of containerd's runtime v1, written anew with the
// standard library. It takes no safety step that the original does not take.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run() error {
	specPath := flag.String("spec", "", "the spec")
	state := flag.String("state", "", "state directory")
	root := flag.String("root", "", "root directory")
	count := flag.Int("count", 1000, "operations over all jobs")
	jobs := flag.Int("jobs", 1, "goroutines")
	if len(os.Args) < 2 {
		return fmt.Errorf("which operation: gid, cycle or create?")
	}
	operation := os.Args[1]
	flag.CommandLine.Parse(os.Args[2:])
	spec, err := os.ReadFile(*specPath)
	if err != nil {
		return err
	}
	switch operation {
	case "gid":
		return report(*count, *jobs, func(int, int) error {
			_, err := remappedGID(spec)
			return err
		})
	case "cycle":
		return report(*count, *jobs, func(job, step int) error {
			made, err := create(*state, *root, "default", fmt.Sprintf("bench-%d-%d-%d", os.Getpid(), job, step), spec)
			if err != nil {
				return err
			}
			return made.remove()
		})
	case "create":
		made, err := create(*state, *root, "default", flag.Arg(0), spec)
		if err != nil {
			return err
		}
		gid, err := remappedGID(spec)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"id": flag.Arg(0), "bundle": made.path, "work_dir": made.workDir, "remapped_gid": gid,
		})
	}
	return fmt.Errorf("no such operation: %s", operation)
}
