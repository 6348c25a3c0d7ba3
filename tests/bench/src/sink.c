/*
 * sink: SMTP servers for the benchmark, many in one process, on one epoll. Takes any message, keeps none.
 *
 *   sink -o PREFIX ADDRESS:PORT[,delay=MS][,at=banner|rcpt|data][,most=SESSIONS] ...
 *
 * A delay makes the listener a tarpit: its reply at that place comes so much later. Beyond `most` sessions at once it
 * answers 421. PREFIX.live holds counters that a reader may map (struct live); at SIGTERM one struct entry for each
 * recipient of each message goes to PREFIX.log. A recipient is known by its address, r<message>-<k>@...; the time that
 * "X-Bench: <message> <ns>" names goes with it, when its MAIL came, and how many octets the body had.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull
#define INPUT 65536
#define MOST_LISTENERS 16

struct live {
    uint64_t messages, sessions, open, most_open, refused;
    uint64_t recipients[MOST_LISTENERS], first_ns[MOST_LISTENERS], last_ns[MOST_LISTENERS];
};

struct entry { uint64_t done_ns, sent_ns, began_ns; uint32_t message, recipient, octets, listener; };
struct recipient { uint32_t message, number; };

enum place { NOWHERE, BANNER, AT_RCPT, AT_DATA };

struct session {
    int fd, content, header, closed, parked;
    struct listener *from;
    struct session *next;          /* in the listener's queue of those that are delayed */
    uint64_t due, sent, began;
    const char *held;              /* the reply that is delayed */
    struct recipient *to;
    uint32_t count, room, octets;
    size_t length;
    char in[INPUT];
};

struct listener {
    int fd, delay_ms, most, open, number;
    enum place at;
    struct session *head, *tail;
};

static struct listener listeners[MOST_LISTENERS];
static int listening, poller;
static struct live *live;
static struct entry *entries;
static size_t entry_count, entry_room;
static volatile sig_atomic_t stopped;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS + t.tv_nsec;
}

static void stop(int number) { (void)number; stopped = 1; }

static void say(struct session *s, const char *text, size_t length) {
    while (length) {
        ssize_t n = send(s->fd, text, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) { usleep(50); continue; }
        if (n <= 0) return;
        text += n;
        length -= n;
    }
}

static void end(struct session *s) {
    if (!s->closed) {
        close(s->fd);
        s->closed = 1;
        s->from->open--;
        live->open--;
    }
    if (s->parked) return;
    free(s->to);
    free(s);
}

static void hold(struct session *s, const char *reply) {
    struct listener *from = s->from;
    s->parked = 1;
    s->held = reply;
    s->due = now() + from->delay_ms * 1000000ull;
    s->next = 0;
    if (from->tail) from->tail->next = s; else from->head = s;
    from->tail = s;
}

static void record(struct session *s) {
    uint64_t moment = now();
    int n = s->from->number;
    if (entry_count + s->count > entry_room) {
        entry_room = (entry_room + s->count) * 2 + 65536;
        entries = realloc(entries, entry_room * sizeof *entries);
    }
    for (uint32_t k = 0; k < s->count; k++)
        entries[entry_count++] = (struct entry){moment, s->sent, s->began, s->to[k].message, s->to[k].number, s->octets, n};
    if (!live->first_ns[n]) live->first_ns[n] = moment;
    live->last_ns[n] = moment;
    live->recipients[n] += s->count;
    live->messages++;
}

static void add_recipient(struct session *s, const char *line) {
    if (s->count == s->room) s->to = realloc(s->to, (s->room = s->room * 2 + 4) * sizeof *s->to);
    struct recipient one = {UINT32_MAX, 0};
    sscanf(line, "%*[^<]<r%u-%u@", &one.message, &one.number);
    s->to[s->count++] = one;
}

static void take_content(struct session *s, const char *line, size_t length, char *out, size_t *said) {
    if (line[0] == '.' && length <= 3) {
        s->content = 0;
        record(s);
        s->count = 0;
        *said += sprintf(out + *said, "250 2.0.0 Ok\r\n");
        return;
    }
    s->octets += length - (line[0] == '.');
    if (!s->header) return;
    if (length <= 2) { s->header = 0; s->octets = 0; }
    else if (!strncasecmp(line, "X-Bench:", 8)) sscanf(line + 8, "%*u %lu", &s->sent);
}

/* Answers one command. Returns 0 where the session has ended or its reply is delayed. */
static int obey(struct session *s, const char *line, char *out, size_t *said) {
    enum place delayed = s->from->delay_ms ? s->from->at : NOWHERE;
    const char *reply = "502 5.5.2 What?\r\n";
    if (!strncasecmp(line, "RCPT", 4)) {
        add_recipient(s, line);
        reply = "250 2.1.5 Ok\r\n";
        if (delayed == AT_RCPT) { hold(s, reply); return 0; }
    } else if (!strncasecmp(line, "MAIL", 4)) {
        s->count = 0;
        s->began = now();
        reply = "250 2.1.0 Ok\r\n";
    } else if (!strncasecmp(line, "DATA", 4)) {
        if (!s->count) reply = "503 5.5.1 Who is it for?\r\n";
        else {
            s->content = s->header = 1;
            s->octets = 0;
            s->sent = 0;
            reply = "354 Go on\r\n";
            if (delayed == AT_DATA) { hold(s, reply); return 0; }
        }
    } else if (!strncasecmp(line, "EHLO", 4)) {
        reply = "250-sink.bench.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n";
    } else if (!strncasecmp(line, "HELO", 4) || !strncasecmp(line, "NOOP", 4)) {
        reply = "250 2.0.0 Ok\r\n";
    } else if (!strncasecmp(line, "RSET", 4)) {
        s->count = 0;
        reply = "250 2.0.0 Ok\r\n";
    } else if (!strncasecmp(line, "QUIT", 4)) {
        *said += sprintf(out + *said, "221 2.0.0 Bye\r\n");
        say(s, out, *said);
        *said = 0;
        end(s);
        return -1;
    }
    *said += sprintf(out + *said, "%s", reply);
    return 1;
}

/* Takes what is in the buffer, as far as it goes. Returns 0 where the session has ended. */
static int process(struct session *s) {
    char out[8192];
    size_t said = 0, at = 0;
    while (at < s->length && !s->parked) {
        char *line = s->in + at, *stop_at = memchr(line, '\n', s->length - at);
        if (!stop_at) break;
        size_t length = stop_at - line + 1;
        at += length;
        if (s->content) take_content(s, line, length, out, &said);
        else if (obey(s, line, out, &said) < 0) return 0;
        if (said > sizeof out - 512) { say(s, out, said); said = 0; }
    }
    say(s, out, said);
    memmove(s->in, s->in + at, s->length - at);
    s->length -= at;
    if (s->length == INPUT && !s->parked) s->length = 0;
    return 1;
}

static void greet(struct listener *from) {
    int fd, on = 1;
    while ((fd = accept4(from->fd, 0, 0, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        live->sessions++;
        if (from->most && from->open >= from->most) {
            live->refused++;
            (void)!write(fd, "421 4.7.0 Too many sessions\r\n", 29);
            close(fd);
            continue;
        }
        struct session *s = malloc(sizeof *s);
        memset(s, 0, offsetof(struct session, in));
        s->fd = fd;
        s->from = from;
        from->open++;
        if (++live->open > live->most_open) live->most_open = live->open;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        if (from->delay_ms && from->at == BANNER) hold(s, "220 sink.bench.test ESMTP\r\n");
        else say(s, "220 sink.bench.test ESMTP\r\n", 27);
    }
}

static void take(struct session *s) {
    if (s->length == INPUT) {
        /* It is delayed and sends on: what more it sends is left in the socket for now. */
        struct epoll_event event = {.events = 0, .data.ptr = s};
        epoll_ctl(poller, EPOLL_CTL_MOD, s->fd, &event);
        return;
    }
    ssize_t n = read(s->fd, s->in + s->length, INPUT - s->length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { end(s); return; }
    s->length += n;
    process(s);
}

/* Says the delayed replies that are due. Returns ms until the next one, -1 where there is none. */
static int release_due(void) {
    uint64_t moment = now(), next = 0;
    for (int i = 0; i < listening; i++) {
        struct session *s;
        while ((s = listeners[i].head) && s->due <= moment) {
            listeners[i].head = s->next;
            if (!s->next) listeners[i].tail = 0;
            s->parked = 0;
            if (s->closed) { end(s); continue; }
            say(s, s->held, strlen(s->held));
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
            epoll_ctl(poller, EPOLL_CTL_MOD, s->fd, &event);
            process(s);
        }
        if (s && (!next || s->due < next)) next = s->due;
    }
    return next ? (int)((next - moment) / 1000000) + 1 : 1000;
}

static int open_listener(char *text) {
    struct listener *l = listeners + listening;
    char *host = strsep(&text, ":"), *port = strsep(&text, ","), *option;
    int on = 1;
    l->number = listening++;
    l->at = AT_DATA;
    while ((option = strsep(&text, ","))) {
        if (!strncmp(option, "delay=", 6)) l->delay_ms = atoi(option + 6);
        else if (!strncmp(option, "most=", 5)) l->most = atoi(option + 5);
        else if (!strcmp(option, "at=banner")) l->at = BANNER;
        else if (!strcmp(option, "at=rcpt")) l->at = AT_RCPT;
        else if (strcmp(option, "at=data")) return 0;
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 25)};
    inet_pton(AF_INET, host, &at.sin_addr);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(l->fd, (void *)&at, sizeof at) || listen(l->fd, 4096)) return 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = l};
    epoll_ctl(poller, EPOLL_CTL_ADD, l->fd, &event);
    return 1;
}

static int open_live(const char *prefix) {
    char path[512];
    snprintf(path, sizeof path, "%s.live", prefix);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, 4096)) return 0;
    live = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return live != MAP_FAILED;
}

int main(int count, char **words) {
    struct epoll_event events[256];
    poller = epoll_create1(0);
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    if (count < 4 || strcmp(words[1], "-o") || !open_live(words[2])) return 2;
    for (int i = 3; i < count; i++)
        if (listening == MOST_LISTENERS || !open_listener(words[i])) { perror(words[i]); return 1; }
    printf("ready\n");
    fflush(stdout);
    while (!stopped) {
        int n = epoll_wait(poller, events, 256, release_due());
        for (int i = 0; i < n; i++) {
            struct listener *l = events[i].data.ptr;
            if (l >= listeners && l < listeners + MOST_LISTENERS) greet(l);
            else take(events[i].data.ptr);
        }
    }
    char path[512];
    snprintf(path, sizeof path, "%s.log", words[2]);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(entries, sizeof *entries, entry_count, file) != entry_count) return 1;
    return fclose(file) ? 1 : 0;
}
