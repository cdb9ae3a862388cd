package main

import (
	"encoding/json"
	"os"
	"sort"
	"sync"
	"time"
)

// report runs an operation in several goroutines, times each, and prints the figures that
// `dunnage bench` prints.
func report(count, jobs int, operation func(job, step int) error) error {
	times := make([][]time.Duration, jobs)
	errs := make([]error, jobs)
	var group sync.WaitGroup
	start := time.Now()
	for job := 0; job < jobs; job++ {
		share := count / jobs
		if job < count%jobs {
			share++
		}
		group.Add(1)
		go func(job, share int) {
			defer group.Done()
			times[job], errs[job] = repeat(share, func(step int) error { return operation(job, step) })
		}(job, share)
	}
	group.Wait()
	elapsed := time.Since(start)
	var all []time.Duration
	for job := range times {
		if errs[job] != nil {
			return errs[job]
		}
		all = append(all, times[job]...)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"ops_per_second": float64(count) / elapsed.Seconds(),
		"p50_us":         rank(all, 50),
		"p99_us":         rank(all, 99),
	})
}

func repeat(count int, operation func(step int) error) ([]time.Duration, error) {
	times := make([]time.Duration, 0, count)
	for step := 0; step < count; step++ {
		start := time.Now()
		if err := operation(step); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// rank is a percentile, in microseconds.
func rank(sorted []time.Duration, percent int) float64 {
	index := (len(sorted)*percent+99)/100 - 1
	if index < 0 {
		index = 0
	}
	return float64(sorted[index].Nanoseconds()) / 1e3
}
