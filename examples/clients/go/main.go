// Sends four requests to nik-stream and reads the outcomes, with franz-go. BOOTSTRAP_SERVERS names the brokers, localhost:9092 by default.
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
	NIK     []any  `json:"nik"`
	Process string `json:"process"`
}{
	{[]any{"3273010101900001", "1234567891234567"}, "limited"},
	{[]any{"3273010101900001"}, "full"},
	{[]any{Claim{"3273010101900001", "1990-01-11", "Man"}, "1234567891234567"}, "explain"},
	{[]any{"3273010101900001"}, "fast"}, // an unknown process
}

// A NIK with what its holder declared.
type Claim struct {
	NIK       string `json:"nik"`
	BirthDate string `json:"birth_date"`
	Gender    string `json:"gender"`
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

	waiting := map[string]int{} // the requests without an outcome, by key
	for at, request := range asked {
		key := rand.Text() // your own, such as an application id; the outcome has the same key
		waiting[key] = at
		value, err := json.Marshal(request)
		check(err)
		check(client.ProduceSync(ctx, &kgo.Record{Topic: "nik.requests", Key: []byte(key), Value: value}).FirstErr())
	}
	for len(waiting) > 0 {
		fetches := client.PollFetches(ctx)
		check(fetches.Err())
		for _, record := range fetches.Records() {
			if at, mine := waiting[string(record.Key)]; mine { // other clients have outcomes here too
				tell(at, record)
				delete(waiting, string(record.Key))
			}
		}
		// After processing: a crash before this repeats the outcomes, so process them idempotently.
		check(client.CommitUncommittedOffsets(ctx))
	}
}

func tell(at int, outcome *kgo.Record) {
	for _, header := range outcome.Headers {
		if outcome.Topic == "nik.failures" && header.Key == "nik-failure-reason" {
			fmt.Println(at+1, "failed:", string(header.Value))
			return
		}
	}
	if asked[at].Process == "explain" {
		explain(at, outcome)
		return
	}
	var result struct{ Data map[string]json.RawMessage }
	check(json.Unmarshal(outcome.Value, &result))
	for _, element := range asked[at].NIK { // in the order of the request, since a map has none
		nik := element.(string)
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

// One entry for each readable element, in the order sent.
func explain(at int, outcome *kgo.Record) {
	var result struct {
		Data []struct {
			NIK      string
			Sections map[string]struct{ Reason *string }
			Declared map[string]any
		}
	}
	check(json.Unmarshal(outcome.Value, &result))
	for _, entry := range result.Data {
		var found []string
		for _, name := range []string{"length", "area", "dob", "gender", "computerized"} {
			if reason := entry.Sections[name].Reason; reason != nil {
				found = append(found, name+" "+*reason)
			}
		}
		for _, name := range []string{"birth_date", "gender", "area"} {
			if outcome, declared := entry.Declared[name].(string); declared {
				found = append(found, name+" "+outcome)
			}
		}
		fmt.Println(at+1, entry.NIK, strings.Join(found, ", "))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
