# usage: sesame-operators FILE
# FILE: a JSON array of name, user, key and role. Adds to peers.toml who is missing there.
wanted=$1
peers=$(sesame --json peer list)

failed=0
while IFS=$'\t' read -r name user key role; do
  if ! uid=$(id --user "$user"); then
    failed=1
    continue
  fi
  known=$(jq --raw-output --arg name "$name" \
    '.peers[] | select(.name == $name) | "\(.uid) \(.key) \(.role)"' <<<"$peers")
  if [ -z "$known" ]; then
    sesame peer add "$name" --uid "$uid" --key "$key" --role "$role" || failed=1
  elif [ "$known" != "$uid $key $role" ]; then
    echo "$name is in /etc/pds/peers.toml with another uid, key or role, and was not changed." \
      "Remove the entry there, and start sesame-operators again." >&2
    failed=1
  fi
done < <(jq --raw-output '.[] | [.name, .user, .key, .role] | @tsv' "$wanted")

jq --raw-output --slurpfile wanted "$wanted" \
  '.peers[] | select(.role | IN("operator", "custodian", "auditor")) | .name
   | select(. as $name | $wanted[0] | all(.name != $name))' <<<"$peers" |
  while read -r name; do
    echo "$name may talk to the daemons and is not in services.sesame.operators." \
      "Remove the entry from /etc/pds/peers.toml if that is no longer so." >&2
  done
exit "$failed"
