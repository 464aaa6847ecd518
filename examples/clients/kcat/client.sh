#!/bin/sh
# Sends four requests to nik-stream and reads the outcomes, with kcat and jq.
#
#     sh client.sh
#
# BOOTSTRAP_SERVERS names the brokers, localhost:9092 by default.
set -eu
brokers=${BOOTSTRAP_SERVERS:-localhost:9092}
run=$(cat /proc/sys/kernel/random/uuid) # your own key, such as an application id; the outcome has the same key

# Each line is a key, a tab and a request. Send NIKs as strings: jq and many others change numbers beyond 2^53, and a number with a
# leading zero is not valid JSON, so the whole request fails.
kcat -b "$brokers" -P -t nik.requests -K "$(printf '\t')" -X enable.idempotence=true <<REQUESTS
$run-1	{"nik":["3273010101900001","1234567891234567"],"process":"limited"}
$run-2	{"nik":["3273010101900001"],"process":"full"}
$run-3	{"nik":[{"nik":"3273010101900001","birth_date":"1990-01-11","gender":"Man"},"1234567891234567"],"process":"explain"}
$run-4	{"nik":["3273010101900001"],"process":"fast"}
REQUESTS

# Prints our outcomes among all committed records of both topics.
outcomes() {
  for topic in nik.results nik.failures; do
    kcat -b "$brokers" -C -q -e -o beginning -t "$topic" -X isolation.level=read_committed -J
  done | jq -c --arg run "$run-" 'select(.key // "" | startswith($run))'
}
tries=0
until found=$(outcomes) && [ "$(printf '%s\n' "$found" | grep -c .)" -ge 4 ]; do
  tries=$((tries + 1))
  [ $tries -lt 60 ] || { echo "not every request has an outcome after a minute" >&2; exit 1; }
  sleep 1
done

printf '%s\n' "$found" | jq -r '
  (.key | split("-") | last) as $number
  | if .topic == "nik.failures" then
      (.headers as $headers | $headers | index("nik-failure-reason") as $at | "\($number) failed: \($headers[$at + 1])")
    elif .payload | fromjson | .data | type == "array" then # explain: one entry for each readable element, in the order sent
      .payload | fromjson | .data[] | "\($number) \(.nik) " + (
        [(.sections | to_entries[] | select(.value.reason) | "\(.key) \(.value.reason)"),
         (.declared // {} | to_entries[] | select(.key != "consistent") | "\(.key) \(.value)")] | join(", "))
    else
      .payload | fromjson | .data | to_entries[] | "\($number) \(.key) " + (
        if .value | type == "boolean" then (if .value then "valid" else "not valid" end)
        else "\(.value.data.area.value.district), born \(.value.data.dob.value.dob)" end)
    end' | sort -s -k 1,1
