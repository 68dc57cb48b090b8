# fish completion for vidi. Try it in this shell:  vidi completion fish | source
# Keep it:  vidi completion fish > ~/.config/fish/completions/vidi.fish

function __vidi_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    for line in ($words[1] complete -- $words[2..-1] "$last" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$last"
        else
            echo $line
        end
    end
end

complete -c vidi -f -a "(__vidi_complete)"
