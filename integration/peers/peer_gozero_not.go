//go:build !peers_all

package main

func goZeroPeers() []maker { return nil }
