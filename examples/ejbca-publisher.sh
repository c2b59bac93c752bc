#!/bin/sh
# Hands what EJBCA publishes to the flow of the example "11 Feed from a CA".
#
# EJBCA's General Purpose Custom Publisher starts one program per kind, with these arguments:
#
#   certificate: FILE TYPE SUBJECT_DN ISSUER_DN SERIAL
#   revocation:  FILE REASON SUBJECT_DN ISSUER_DN SERIAL
#   CRL:         FILE [true|false]     the flag with "Calculate Delta CRL locally"
#
# FILE is DER. The kind is taken from the name of the program, so link it three times:
#
#   ln -s ejbca-publisher.sh publish-certificate
#   ln -s ejbca-publisher.sh publish-revocation
#   ln -s ejbca-publisher.sh publish-crl
#
# Beside it stands ejbca-publisher.conf, readable for the user of EJBCA only:
#
#   FEED_URL=https://node-red.example.com:1880/ca-feed
#   FEED_TOKEN=the value of PEER_FEED_TOKEN
#   FEED_CACERT=/path/of/the/ca/of/that/server.pem   (optional)
#
# It ends with 0 once the flow has said that the item is safe: at the VA, or in the publisher queue. Otherwise it writes
# why to standard error and ends with another code, and EJBCA keeps the item in its own queue.
set -eu

name=${0##*/}
conf=${FEED_CONF:-${0%/*}/ejbca-publisher.conf}

fail() {
  echo "$name: $1" >&2
  exit 64
}

[ -r "$conf" ] || fail "cannot read $conf"
FEED_URL='' FEED_TOKEN='' FEED_CACERT=''
. "$conf"
[ -n "$FEED_URL" ] && [ -n "$FEED_TOKEN" ] || fail "FEED_URL and FEED_TOKEN must be set in $conf"
[ -r "${1:-}" ] || fail "cannot read the file \"${1:-}\""

case $name in
  *certificate*) kind=certificate ;;
  *revocation*)
    case ${2:-} in
      '' | *[!0-9]*) fail "the reason \"${2:-}\" is not a number" ;;
    esac
    kind="revocation?reason=$2"
    ;;
  *crl*) kind=crl ;;
  *) fail 'the name of this program says neither certificate nor revocation nor crl' ;;
esac

# The token goes by standard input: arguments are there for everybody to see.
printf 'header = "Authorization: Bearer %s"\n' "$FEED_TOKEN" |
  curl --config - --silent --show-error --fail --max-time 60 --output /dev/null \
    ${FEED_CACERT:+--cacert "$FEED_CACERT"} \
    --header 'Content-Type: application/octet-stream' --data-binary "@$1" "$FEED_URL/$kind"
