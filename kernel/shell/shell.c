/*
 * The shell's loop: read a line, split it, find the command, run it.
 *
 * Commands run on the shell's own thread; while one does, Ctrl-C asks that thread to stop. A line
 * that ends in & runs on a thread of its own instead, if the command allows it.
 */
#include <shell/shell.h>
#include <drivers/console.h>
#include <drivers/input.h>
#include <drivers/screen.h>
#include <heap.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <log.h>
#include <sched/thread.h>
#include <shell/line.h>
#include <shell/tokenize.h>

#define MAX_WORDS (LINE_CHARACTERS / 2) /* as many as a line can hold */

extern const struct shell_command _commands_start[], _commands_end[];

static struct line_editor editor;

const struct shell_command *shell_command(uint32_t index)
{
    uint32_t count = (uint32_t)(_commands_end - _commands_start);
    return index < count ? &_commands_start[index] : NULL;
}

const struct shell_command *shell_find(const char *name)
{
    const struct shell_command *command;

    for (uint32_t i = 0; (command = shell_command(i)) != NULL; i++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

enum shell_result shell_error(const char *format, ...)
{
    char text[KPRINTF_MAX / 2];
    va_list args;

    va_start(args, format);
    kvsnprintf(text, sizeof(text), format, args);
    va_end(args);
    kprintf(STYLE_BAD "error:" STYLE_PLAIN " %s\n", text);
    return SHELL_OK;
}

static void run_command(const struct shell_command *command, int argc, char **argv)
{
    if (command->run(argc, argv) == SHELL_USAGE)
        kprintf("usage: %s\n", command->usage);
}

void shell_run_words(int argc, char **argv)
{
    const struct shell_command *command = shell_find(argv[0]);

    if (command == NULL)
        shell_error("unknown command %.64s (try help)", argv[0]);
    else
        run_command(command, argc, argv);
}

/* ---- In the background ---- */

/* A command with its words, in one heap block that its thread frees. */
struct job {
    const struct shell_command *command;
    int argc;
    char *argv[]; /* argc words and a NULL; their text follows */
};

static int job_thread(void *arg)
{
    struct job *job = arg;

    run_command(job->command, job->argc, job->argv);
    kfree(job);
    return 0;
}

static struct job *make_job(const struct shell_command *command, int argc, char **argv)
{
    size_t size = sizeof(struct job) + ((size_t)argc + 1) * sizeof(char *);

    for (int i = 0; i < argc; i++)
        size += strlen(argv[i]) + 1;
    struct job *job = kmalloc(size);
    if (job == NULL)
        return NULL;

    char *words = (char *)&job->argv[argc + 1];
    job->command = command;
    job->argc = argc;
    for (int i = 0; i < argc; i++) {
        job->argv[i] = words;
        words += strcopy(words, argv[i], strlen(argv[i]) + 1) + 1;
    }
    job->argv[argc] = NULL;
    return job;
}

static enum shell_result run_in_background(const struct shell_command *command, int argc,
                                           char **argv)
{
    if (!command->background)
        return shell_error("%s does not run in the background", command->name);

    struct job *job = make_job(command, argc, argv);
    struct thread *thread = job != NULL ? thread_create(command->name, job_thread, job) : NULL;
    if (thread == NULL) {
        kfree(job);
        return shell_error("no memory for another thread");
    }
    thread_set_stoppable(thread, true);
    thread_detach(thread);
    return SHELL_OK;
}

/* ---- Lines ---- */

static void run_line(char *line)
{
    char *argv[MAX_WORDS + 1];
    int argc = tokenize(line, argv, MAX_WORDS);
    bool background = false;

    if (argc == TOKENIZE_TOO_MANY) {
        shell_error("more than %d words", MAX_WORDS);
        return;
    }
    if (argc == TOKENIZE_UNCLOSED_QUOTE) {
        shell_error("a quote is not closed");
        return;
    }
    if (argc > 0 && strcmp(argv[argc - 1], "&") == 0) {
        background = true;
        argc--;
    }
    if (argc == 0)
        return;
    argv[argc] = NULL;

    const struct shell_command *command = shell_find(argv[0]);
    if (background && command != NULL)
        run_in_background(command, argc, argv);
    else
        shell_run_words(argc, argv);
}

/* ---- Completion ---- */

/* Which word of the line's first `length` bytes the cursor is in; *start is where it begins. */
static uint32_t word_at_end(const char *line, size_t length, size_t *start)
{
    uint32_t word = 0;

    *start = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] != ' ')
            continue;
        if (i > *start)
            word++;
        *start = i + 1;
    }
    return word;
}

static const struct shell_command *command_of_line(const char *line, size_t length)
{
    char name[LINE_CANDIDATE_BYTES + 1];
    size_t begin = 0, end;

    while (begin < length && line[begin] == ' ')
        begin++;
    for (end = begin; end < length && line[end] != ' ';)
        end++;
    if (end - begin >= sizeof(name))
        return NULL;
    memcpy(name, line + begin, end - begin);
    name[end - begin] = '\0';
    return shell_find(name);
}

static const char *complete(void *arg UNUSED, const char *line, size_t length, size_t index,
                            size_t *word)
{
    uint32_t argument = word_at_end(line, length, word);

    if (argument == 0) {
        const struct shell_command *command = shell_command((uint32_t)index);
        return command != NULL ? command->name : NULL;
    }
    const struct shell_command *command = command_of_line(line, length);
    if (command == NULL || command->candidates == NULL)
        return NULL;
    return command->candidates(argument, (uint32_t)index);
}

/* ---- The loop ---- */

static void write_edit(void *arg UNUSED, const char *bytes, size_t length)
{
    console_edit_write(bytes, length);
}

static void hide_line(void *arg UNUSED)
{
    line_hide(&editor);
}

static void show_line(void *arg UNUSED)
{
    line_show(&editor);
}

static enum line_result read_line(void)
{
    static const struct console_line open_line = { hide_line, show_line, NULL };
    enum line_result result = LINE_MORE;

    uint32_t flags = console_edit_begin();
    console_set_line(&open_line);
    line_start(&editor);
    console_edit_end(flags);

    while (result == LINE_MORE) {
        uint32_t key = input_get_key();

        flags = console_edit_begin();
        result = line_key(&editor, key);
        if (result != LINE_MORE)
            console_set_line(NULL);
        if (result == LINE_DONE) /* before the line break can be seen: Ctrl-C may follow it */
            input_set_foreground(thread_current());
        console_edit_end(flags);
    }
    return result;
}

/* From here on Ctrl-C is a key again; one that came while the command ran is shown. */
static void end_command(void)
{
    input_set_foreground(NULL);
    if (thread_interrupted())
        kprintf("^C\n");
    thread_clear_interrupt();
}

void shell_run(void)
{
    line_init(&editor, STYLE_TITLE "ronin> " STYLE_PLAIN, write_edit, NULL);
    if (screen_columns() != 0)
        editor.columns = screen_columns();
    line_set_completer(&editor, complete, NULL);
    kprintf("Type help for the commands, poweroff to leave. Shift-PageUp looks back.\n");
    for (;;) {
        switch (read_line()) {
        case LINE_DONE:
            run_line(line_text(&editor));
            end_command();
            break;
        case LINE_TOO_LONG:
            shell_error("the line is longer than %u characters", LINE_CHARACTERS);
            break;
        case LINE_CANCELLED:
        case LINE_MORE:
            break;
        }
    }
}
