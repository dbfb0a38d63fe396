// Go's golang.org/x/oauth2/clientcredentials: oauth2 first | warm | renew | calls | page | many | steady
// SPDX-License-Identifier: MIT
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const calls, renewals, requests, pages = 5000000, 200, 2000, 300
const atOnce, each = 16, 20 // calls at a time, and calls of each in turn

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Tokens count as expired 10 s before they are, whatever their life; without that, one of 3 s would never be good.
type unhurried struct{ source oauth2.TokenSource }

func (u unhurried) Token() (*oauth2.Token, error) {
	token, err := u.source.Token()
	if err == nil {
		token.Expiry = token.Expiry.Add(9700 * time.Millisecond)
	}
	return token, err
}

type fetcher struct {
	ctx    context.Context
	config clientcredentials.Config
}

func (f fetcher) Token() (*oauth2.Token, error) { return f.config.Token(f.ctx) }

// Of this process, all threads, in seconds.
func spent() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func get(client *http.Client, path string) {
	reply, err := client.Get(os.Getenv("BASE_URL") + path)
	check(err)
	var page map[string]any
	check(json.NewDecoder(reply.Body).Decode(&page))
	check(reply.Body.Close())
}

// Calls one after the other: how many a second, and the CPU time of each.
func inTurn(client *http.Client, path string, count int) {
	get(client, path)
	started, before := time.Now(), spent()
	for i := 0; i < count; i++ {
		get(client, path)
	}
	fmt.Println(float64(count)/time.Since(started).Seconds(), (spent()-before)/float64(count)*1e6)
}

func together(client *http.Client, each int) {
	var group sync.WaitGroup
	for i := 0; i < atOnce; i++ {
		group.Add(1)
		go func() {
			for n := 0; n < each; n++ {
				get(client, "/slow")
			}
			group.Done()
		}()
	}
	group.Wait()
}

func main() {
	ctx := context.Background()
	if file := os.Getenv("CA_FILE"); file != "" {
		pem, err := os.ReadFile(file)
		check(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: atOnce}}
		ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	}
	config := clientcredentials.Config{
		ClientID: os.Getenv("CLIENT_ID"), ClientSecret: os.Getenv("CLIENT_SECRET"), TokenURL: os.Getenv("TOKEN_URL"),
		AuthStyle: oauth2.AuthStyleInParams,
	}
	source := config.TokenSource(ctx)
	_, err := source.Token()
	check(err)
	started := time.Now()
	switch os.Args[1] {
	case "warm":
		for i := 0; i < calls; i++ {
			_, err = source.Token()
		}
		check(err)
		fmt.Println(float64(time.Since(started).Nanoseconds()) / calls)
	case "renew":
		for i := 0; i < renewals; i++ {
			_, err = config.Token(ctx)
			check(err)
		}
		fmt.Println(renewals / time.Since(started).Seconds())
	case "calls":
		inTurn(config.Client(ctx), "/devices", requests)
	case "page":
		inTurn(config.Client(ctx), "/page", pages)
	case "many":
		client := config.Client(ctx)
		together(client, 1)
		started = time.Now()
		together(client, each)
		fmt.Println(atOnce * each / time.Since(started).Seconds())
	case "steady":
		patient := oauth2.ReuseTokenSource(nil, unhurried{fetcher{ctx, config}})
		var took []float64
		for time.Since(started) < 20*time.Second {
			before := time.Now()
			_, err = patient.Token()
			took = append(took, float64(time.Since(before).Nanoseconds())/1000)
			check(err)
			time.Sleep(time.Millisecond)
		}
		sort.Float64s(took)
		fmt.Println(took[len(took)/2], took[len(took)*999/1000], took[len(took)-1])
	}
}
