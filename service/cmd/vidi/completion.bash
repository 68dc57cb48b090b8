# bash completion for vidi. Try it in this shell:  source <(vidi completion bash)
# Keep it:  vidi completion bash > ~/.local/share/bash-completion/completions/vidi

_vidi() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            compopt -o default # where nothing else fits, bash completes file names
            continue
        fi
        COMPREPLY+=("${line%%$'\t'*}")
    done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _vidi vidi
