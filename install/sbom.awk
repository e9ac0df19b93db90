# Writes the software bill of materials of a program in CycloneDX 1.5, JSON. Its input is Cargo.lock, and the output of
# cargo tree --prefix depth --format '|{p}|{l}': the depth, the crate with its version, and the license.
BEGIN { FS = "|" }

# Cargo.lock
FNR == NR {
    split($0, word, "\"")
    if (/^name = /) name = word[2]
    if (/^version = /) release = word[2]
    if (/^checksum = /) checksum[purl(name, release)] = word[2]
    next
}

{
    sub(/ \(\*\)$/, "") # a crate whose dependencies are above
    split($2, word, " ")
    crate = purl(word[1], substr(word[2], 2))
    if (!(crate in seen)) {
        seen[crate] = 1
        crates[++count] = crate
        names[crate] = word[1]
        versions[crate] = substr(word[2], 2)
        gsub(/ *\/ */, " OR ", $3) # the form of old crates
        licenses[crate] = $3
    }
    above[$1] = crate
    if ($1 > 0 && !((above[$1 - 1], crate) in edge)) {
        edge[above[$1 - 1], crate] = 1
        needs[above[$1 - 1]] = needs[above[$1 - 1]] (needs[above[$1 - 1]] ? ", " : "") "\"" crate "\""
    }
}

function purl(name, version) {
    gsub(/\+/, "%2B", version)
    return "pkg:cargo/" name "@" version
}

function component(crate, type) {
    return sprintf("{\"type\": \"%s\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\"", type, crate, names[crate], \
        versions[crate]) (crate in checksum ? sprintf(", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"%s\"}]", checksum[crate]) : "") \
        sprintf(", \"licenses\": [{\"expression\": \"%s\"}], \"purl\": \"%s\"}", licenses[crate], crate)
}

END {
    print "{"
    print "  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,"
    printf "  \"metadata\": {\n    \"timestamp\": \"%s\",\n    \"component\": %s\n  },\n", date, component(crates[1], "application")
    print "  \"components\": ["
    for (at = 2; at <= count; at++) print "    " component(crates[at], "library") (at < count ? "," : "")
    print "  ],\n  \"dependencies\": ["
    for (at = 1; at <= count; at++)
        printf "    {\"ref\": \"%s\", \"dependsOn\": [%s]}%s\n", crates[at], needs[crates[at]], at < count ? "," : ""
    print "  ]\n}"
}
