package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// What containerd's runtime v1 reads of a spec, and no more: the rest is skipped.
type ociSpec struct {
	Linux *linuxSpec `json:"linux,omitempty"`
}

type linuxSpec struct {
	GIDMappings []idMapping `json:"gidMappings,omitempty"`
}

type idMapping struct {
	ContainerID uint32 `json:"containerID"`
	HostID      uint32 `json:"hostID"`
	Size        uint32 `json:"size"`
}

// remappedGID is the host's group for group 0 of the container, or 0.
func remappedGID(spec []byte) (uint32, error) {
	var parsed ociSpec
	if err := json.Unmarshal(spec, &parsed); err != nil {
		return 0, err
	}
	if parsed.Linux == nil {
		return 0, nil
	}
	for _, mapping := range parsed.Linux.GIDMappings {
		if mapping.ContainerID == 0 {
			return mapping.HostID, nil
		}
	}
	return 0, nil
}

type bundle struct {
	path    string
	workDir string
}

// create makes a bundle in place, and takes back what it made if a step fails.
func create(state, root, namespace, id string, spec []byte) (made *bundle, err error) {
	base := filepath.Join(state, namespace)
	if err := os.MkdirAll(base, 0o711); err != nil {
		return nil, err
	}
	path := filepath.Join(base, id)
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(path)
		}
	}()
	if err := setPermissions(path, spec); err != nil {
		return nil, err
	}
	workDir := filepath.Join(root, namespace, id)
	if err := os.MkdirAll(workDir, 0o711); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(workDir)
		}
	}()
	if err := os.MkdirAll(filepath.Join(path, "rootfs"), 0o711); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(path, "config.json"), spec, 0o666); err != nil {
		return nil, err
	}
	return &bundle{path: path, workDir: workDir}, nil
}

func setPermissions(path string, spec []byte) error {
	gid, err := remappedGID(spec)
	if err != nil || gid == 0 {
		return err
	}
	if err := os.Chown(path, -1, int(gid)); err != nil {
		return err
	}
	return os.Chmod(path, 0o710)
}

// remove deletes the bundle and then its work directory; it tries both.
func (b *bundle) remove() error {
	if address, err := os.ReadFile(filepath.Join(b.path, "address")); err == nil {
		os.Remove(string(address))
	}
	bundleErr := atomicDelete(b.path)
	workErr := atomicDelete(b.workDir)
	if bundleErr != nil && workErr != nil {
		return fmt.Errorf("%v, and %v", bundleErr, workErr)
	}
	if bundleErr != nil {
		return bundleErr
	}
	return workErr
}

// atomicDelete takes the name away, and then removes the tree.
func atomicDelete(path string) error {
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.Rename(path, hidden); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.RemoveAll(hidden)
}
