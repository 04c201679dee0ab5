# shellcheck shell=sh disable=SC2034 # the lists are used by name, through eval
# What batchfs needs from Debian 12, in one place: sourced by docs/quickstart.sh
# and tests/run.sh.
#
#	install_packages build run demo

packages_build="gcc libc6-dev meson ninja-build pkg-config libfuse3-dev libcurl4-openssl-dev
	libjson-c-dev libssl-dev libsqlite3-dev libcsv-dev libexpat1-dev zlib1g-dev"
packages_run="fuse3"
packages_demo="jq bsdextrautils"
packages_test="clang clang-format clang-tidy cppcheck libclang-rt-14-dev libcmocka-dev mandoc
	shellcheck python3 python3-pytest acl attr bsdextrautils curl file inotify-tools jq make
	openssl perl procps rsync sqlite3 vim xxd
	radosgw ceph-mon ceph-osd ceph-common python3-botocore nodejs"
# Other builds of nodejs bring an npm of their own, and refuse Debian's.
command -v npm >/dev/null 2>&1 || packages_test="$packages_test npm"

# The names of a group's packages that are not installed.
packages_missing() {
	for package in $1; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
		installed) ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

# install_packages GROUP...: installs what is missing, and says what it installs.
install_packages() {
	missing=
	for group; do
		eval "missing=\"\$missing\$(packages_missing \"\$packages_$group\")\""
	done
	[ -n "$missing" ] || return 0
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "These packages (by their Debian names) are needed, and there is no apt-get here:" >&2
		echo "  $missing" >&2
		return 1
	fi
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null 2>&1; then
			echo "Not root and no sudo here; ask somebody who may to run:" >&2
			echo "  apt-get install $missing" >&2
			return 1
		fi
		as_root=sudo
		[ -t 0 ] || as_root="sudo -n" # nobody is there to type a password
	fi
	echo "Installing from Debian: $missing"
	# shellcheck disable=SC2086 # lists of words
	said=$({
		$as_root apt-get -q update &&
			$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
				--no-install-recommends install $missing
	} </dev/null 2>&1) || {
		printf '%s\n' "$said" >&2
		echo "The packages could not be installed; the lines above say why." >&2
		return 1
	}
}
