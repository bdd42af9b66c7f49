# What Kubernetes runs before it stops the gateway, which ends at once when it is told to.
#   bash pre-stop.sh WITHDRAWN DRAIN
# For WITHDRAWN seconds it works on as before, while its address is forgotten. Then its connections are told to take new
# calls elsewhere, and this ends when none of its calls is left, after DRAIN seconds at the latest.
# The image has neither curl nor Python; bash itself can open a connection.
set -u

ask() { # METHOD PATH
  exec 3<>/dev/tcp/127.0.0.1/9902 || return
  printf '%s %s HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}

sleep "$1"
end=$((SECONDS + $2))
ask POST '/drain_listeners?graceful&skip_exit' >/dev/null
while [ "$SECONDS" -lt "$end" ]; do
  case $(ask GET '/stats?filter=^http.public.downstream_rq_active$') in
    *'downstream_rq_active: 0'*) break ;;
    *downstream_rq_active*) sleep 0.2 ;;
    *) break ;; # It does not answer: there is nothing to wait for.
  esac
done
