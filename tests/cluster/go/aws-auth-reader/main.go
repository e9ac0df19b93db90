// Prints how aws-iam-authenticator reads aws-auth ConfigMaps.
//
// Each line on stdin is the data of a ConfigMap, as a JSON object of strings. Each line on stdout is its reading:
//
//	{"roles": [{"rolearn": …, "sso": …, "username": …, "groups": […]}], "users": […], "accounts": […],
//	 "errors": {"mapRoles": "…"}}
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"os"

	"github.com/sirupsen/logrus"
	"sigs.k8s.io/aws-iam-authenticator/pkg/config"
	"sigs.k8s.io/aws-iam-authenticator/pkg/mapper/configmap"
)

// Longest line on stdin; a ConfigMap has at most 1 MiB, and JSON escapes some characters.
const maxLine = 8 << 20

type reading struct {
	Roles    []config.RoleMapping `json:"roles"`
	Users    []config.UserMapping `json:"users"`
	Accounts []string             `json:"accounts"`
	// The keys of the ConfigMap that the authenticator reports an error for.
	Errors map[string]string `json:"errors"`
}

func main() {
	logrus.SetOutput(io.Discard)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLine)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for lines.Scan() {
		var data map[string]string
		if err := json.Unmarshal(lines.Bytes(), &data); err != nil {
			log.Fatalf("a line is not an object of strings: %v", err)
		}
		if err := encoder.Encode(read(data)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

// read parses each key on its own, so that an error belongs to its key. The authenticator also parses them independently.
func read(data map[string]string) reading {
	result := reading{Errors: map[string]string{}}
	for key, text := range data {
		users, roles, accounts, err := configmap.ParseMap(map[string]string{key: text})
		result.Users = append(result.Users, users...)
		result.Roles = append(result.Roles, roles...)
		result.Accounts = append(result.Accounts, accounts...)
		if err != nil {
			result.Errors[key] = err.Error()
		}
	}
	return result
}
