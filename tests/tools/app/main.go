// The workload that tests run in pods: one static program that is a server, a
// client, or just there.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const usage = `usage:
  app serve [ADDRESS]                    HTTP on ADDRESS, by default :8080; ends on SIGTERM
      GET /            hello from HOSTNAME
      GET /bytes?n=N   N bytes
      POST /echo       the body
  app get [-within D] URL [PROXY-URL]    prints the body, exits 0 on status 200, else 1;
                                         with -within tries again until D has passed
  app resolve NAME                       prints the addresses, exits 1 when there are none
  app sleep                              ends on SIGTERM`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"serve"}
	}
	var err error
	switch {
	case args[0] == "serve" && len(args) <= 2:
		err = serve(ctx, append(args, ":8080")[1])
	case args[0] == "get" && len(args) >= 2:
		err = get(ctx, args[1:])
	case args[0] == "resolve" && len(args) == 2:
		err = resolve(ctx, args[1])
	case args[0] == "sleep" && len(args) == 1:
		<-ctx.Done()
	default:
		err = fmt.Errorf("%s", usage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, addr string) error {
	host, _ := os.Hostname()
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello from", host)
	})
	http.HandleFunc("GET /bytes", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "n must be a number of bytes", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.CopyN(w, letters{}, n)
	})
	http.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	server := &http.Server{Addr: addr}
	// A request under way at SIGTERM gets its answer, so that what a rollout
	// loses is not this program's doing.
	finished := make(chan struct{})
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
		close(finished)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	<-finished
	return nil
}

// letters is an endless text, the same on every read of the same size.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a' + byte(i%26)
	}
	return len(p), nil
}

func get(ctx context.Context, args []string) error {
	var within time.Duration
	if args[0] == "-within" && len(args) > 2 {
		var err error
		if within, err = time.ParseDuration(args[1]); err != nil {
			return err
		}
		args = args[2:]
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if len(args) > 1 {
		proxy, err := url.Parse(args[1])
		if err != nil {
			return err
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	deadline := time.Now().Add(within)
	for {
		err := getOnce(ctx, client, args[0])
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func getOnce(ctx context.Context, client *http.Client, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", target, response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func resolve(ctx context.Context, name string) error {
	addrs, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(addrs, " "))
	return nil
}
