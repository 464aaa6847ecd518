// Sends three requests to nik-stream and reads the outcomes, with franz-go. BOOTSTRAP_SERVERS names the brokers, localhost:9092 by default.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Send NIKs as strings: an `any` holds a number as a float64, which is exact up to 2^53 only, and 0123 in Go source is 83.
var asked = []struct {
	NIK     []string `json:"nik"`
	Process string   `json:"process"`
}{
	{[]string{"3273010101900001", "1234567891234567"}, "limited"},
	{[]string{"3273010101900001"}, "full"},
	{[]string{"3273010101900001"}, "fast"}, // an unknown process
}

func main() {
	client, err := kgo.NewClient( // its producer is idempotent: a retry does not create a second request
		kgo.SeedBrokers(strings.Split(cmp.Or(os.Getenv("BOOTSTRAP_SERVERS"), "localhost:9092"), ",")...),
		kgo.ConsumerGroup("client-go"),
		kgo.ConsumeTopics("nik.results", "nik.failures"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // not the default; uncommitted records are not outcomes
		kgo.DisableAutoCommit(),
	)
	check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	number := map[string]int{} // by key
	for at, request := range asked {
		key := rand.Text() // your own, such as an application id; the outcome has the same key
		number[key] = at
		value, err := json.Marshal(request)
		check(err)
		check(client.ProduceSync(ctx, &kgo.Record{Topic: "nik.requests", Key: []byte(key), Value: value}).FirstErr())
	}
	outcomes := map[int]*kgo.Record{}
	for len(outcomes) < len(asked) {
		fetches := client.PollFetches(ctx)
		check(fetches.Err())
		for _, record := range fetches.Records() {
			if at, mine := number[string(record.Key)]; mine { // other clients have outcomes here too
				outcomes[at] = record
			}
		}
		// After processing: a crash before this repeats the outcomes, so process them idempotently.
		check(client.CommitUncommittedOffsets(ctx))
	}
	for at := range asked {
		tell(at, outcomes[at])
	}
}

func tell(at int, outcome *kgo.Record) {
	for _, header := range outcome.Headers {
		if outcome.Topic == "nik.failures" && header.Key == "nik-failure-reason" {
			fmt.Println(at+1, "failed:", string(header.Value))
			return
		}
	}
	var result struct{ Data map[string]json.RawMessage }
	check(json.Unmarshal(outcome.Value, &result))
	for _, nik := range asked[at].NIK { // in the order of the request, since a map has none
		var valid bool
		if json.Unmarshal(result.Data[nik], &valid) == nil {
			fmt.Println(at+1, nik, map[bool]string{true: "valid", false: "not valid"}[valid])
			continue
		}
		var full struct {
			Data struct {
				Area, Dob struct{ Value map[string]any }
			}
		}
		check(json.Unmarshal(result.Data[nik], &full))
		fmt.Printf("%d %s %s, born %s\n", at+1, nik, full.Data.Area.Value["district"], full.Data.Dob.Value["dob"])
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
