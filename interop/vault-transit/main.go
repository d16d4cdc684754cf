// The transit engine of HashiCorp Vault behind Vault's HTTP paths, in memory, for tests: prints its address and token
// and serves until its standard input ends.
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	log "github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/sdk/logical"
)

const mount = "/v1/transit/"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	storage := &logical.InmemStorage{}
	system := logical.TestSystemView()
	config := &logical.BackendConfig{
		Logger:      log.NewNullLogger(),
		System:      system,
		StorageView: storage,
	}
	engine, err := transit.Factory(context.Background(), config)
	if err != nil {
		return err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	token := "hvs." + hex.EncodeToString(secret)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	said, err := json.Marshal(map[string]string{"address": "http://" + listener.Addr().String(), "token": token})
	if err != nil {
		return err
	}
	fmt.Println(string(said))
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := answer(engine, storage, token, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body)
	}))
}

func answer(engine logical.Backend, storage logical.Storage, token string, r *http.Request) (int, any) {
	refuse := func(status int, text string) (int, any) {
		return status, map[string][]string{"errors": {text}}
	}
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Vault-Token")), []byte(token)) != 1 {
		return refuse(http.StatusForbidden, "permission denied")
	}
	path, found := strings.CutPrefix(r.URL.Path, mount)
	if !found {
		return refuse(http.StatusNotFound, "no handler for route")
	}
	request := &logical.Request{Storage: storage, Path: path, Operation: logical.ReadOperation}
	if r.Method != http.MethodGet {
		request.Operation = logical.UpdateOperation
		if exists, known, err := engine.HandleExistenceCheck(r.Context(), request); err == nil && exists && !known {
			request.Operation = logical.CreateOperation
		}
		decoder := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
		decoder.UseNumber()
		if err := decoder.Decode(&request.Data); err != nil {
			return refuse(http.StatusBadRequest, err.Error())
		}
	}
	response, err := engine.HandleRequest(r.Context(), request)
	if response.IsError() {
		return refuse(http.StatusBadRequest, response.Error().Error())
	}
	if err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	if response == nil {
		return http.StatusNotFound, map[string][]string{"errors": {}}
	}
	return http.StatusOK, map[string]any{"data": response.Data}
}
