package main

import "testing"

// The store moves on: each mutant's text must still be found in it, once.
func TestMutantsFindTheirText(t *testing.T) {
	t.Chdir("../../..")
	dir := t.TempDir()
	for i := range mutants {
		if _, err := mutants[i].overlay(dir); err != nil {
			t.Error(err)
		}
	}
}
