#compdef vidi
# zsh completion for vidi. Try it in this shell:  source <(vidi completion zsh)
# Keep it:  vidi completion zsh > a file named _vidi in a folder of $fpath

_vidi() {
    local line files
    local -a found
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            files=1
        elif [[ $line == *$'\t'* ]]; then
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            found+=("${line//:/\\:}")
        fi
    done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( ${#found} )) && _describe vidi found
    [[ -n $files ]] && _files
}

if [[ $funcstack[1] == _vidi ]]; then
    _vidi "$@" # zsh loaded this file as the function itself
else
    compdef _vidi vidi
fi
