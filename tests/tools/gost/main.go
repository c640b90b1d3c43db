// The gost command line over github.com/go-gost/x, which holds all of gost's
// behaviour. The gost command's own module is not served by the Go module
// proxy, and it adds little more than these flags.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-gost/core/logger"
	"github.com/go-gost/x/config"
	"github.com/go-gost/x/config/loader"
	"github.com/go-gost/x/config/parsing/parser"
	xlogger "github.com/go-gost/x/logger"
	"github.com/go-gost/x/registry"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func main() {
	var args parser.Args
	flag.Var((*list)(&args.Services), "L", "service, may be repeated")
	flag.Var((*list)(&args.Nodes), "F", "chain node, may be repeated")
	flag.StringVar(&args.CfgFile, "C", "", "configuration file")
	flag.BoolVar(&args.Debug, "D", false, "debug log")
	flag.BoolVar(&args.Trace, "DD", false, "trace log")
	output := flag.String("O", "", "print the configuration in this format, and end")
	flag.Parse()

	if err := run(args, *output); err != nil {
		fmt.Fprintln(os.Stderr, "gost:", err)
		os.Exit(1)
	}
}

func run(args parser.Args, output string) error {
	logger.SetDefault(xlogger.NewLogger())
	parser.Init(args)
	cfg, err := parser.Parse()
	if err != nil {
		return err
	}
	if output != "" {
		return cfg.Write(os.Stdout, output)
	}
	config.Set(cfg)
	if err := loader.Load(cfg); err != nil {
		return err
	}
	services := registry.ServiceRegistry().GetAll()
	if len(services) == 0 {
		return fmt.Errorf("nothing to serve: give -L or -C")
	}
	for _, s := range services {
		go func() { _ = s.Serve() }()
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	for _, s := range services {
		_ = s.Close()
	}
	return nil
}
