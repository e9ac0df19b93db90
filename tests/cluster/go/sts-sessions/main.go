// Calls STS with the AWS SDK for Go, and the credentials that it finds by itself, until it has used a number of sessions.
// Prints the number of calls. Terraform and most other programs in Go find their credentials this way.
//
//	sts-sessions URL SESSIONS PAUSE
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	ctx := context.Background()
	sessions, err := strconv.Atoi(os.Args[2])
	check(err)
	pause, err := time.ParseDuration(os.Args[3])
	check(err)
	loaded, err := config.LoadDefaultConfig(ctx)
	check(err)
	client := sts.NewFromConfig(loaded, func(options *sts.Options) { options.BaseEndpoint = aws.String(os.Args[1]) })
	seen, calls := map[string]bool{}, 0
	for len(seen) < sessions {
		credentials, err := loaded.Credentials.Retrieve(ctx)
		check(err)
		seen[credentials.AccessKeyID] = true
		_, err = client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		check(err)
		calls++
		time.Sleep(pause)
	}
	fmt.Println(calls)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
