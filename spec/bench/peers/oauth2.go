// Go's golang.org/x/oauth2/clientcredentials: oauth2 first | warm | renew | calls | steady
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
	"syscall"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const calls, renewals, requests = 5000000, 200, 2000

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

func get(client *http.Client) {
	reply, err := client.Get(os.Getenv("BASE_URL") + "/devices")
	check(err)
	var page map[string]any
	check(json.NewDecoder(reply.Body).Decode(&page))
	check(reply.Body.Close())
}

func main() {
	ctx := context.Background()
	if file := os.Getenv("CA_FILE"); file != "" {
		pem, err := os.ReadFile(file)
		check(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
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
		client := config.Client(ctx)
		get(client)
		started = time.Now()
		before := spent()
		for i := 0; i < requests; i++ {
			get(client)
		}
		fmt.Println(requests/time.Since(started).Seconds(), (spent()-before)/requests*1e6)
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
