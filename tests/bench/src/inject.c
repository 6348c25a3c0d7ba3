/*
 * inject: SMTP clients for the benchmark, many in one process, on one epoll.
 *
 * Message i goes to recipients r<i>-<k>@<domain>, k = 0 ... recipients - 1. Its domain number is i (plus k where it has
 * several recipients) modulo the number of domains; domains 0 ... slow - 1 are named s<n>.test, the others d<n>.test.
 * Each message carries "X-Bench: <i> <ns>", the moment (CLOCK_MONOTONIC) at which it was begun or, at a rate, was due:
 * so a stall of the server is part of every later message's time.
 *
 * A session that is cut off, or told 4yz or 5yz, is made again, and says its message again.
 *
 *   inject -p PORT [-h HOST] -m MESSAGES -s SESSIONS -l OCTETS -d DOMAINS [-S SLOW] [-f FIRST] [-r RECIPIENTS] [-R PER_SECOND]
 *          [-P] [-T SECONDS]
 *
 * -P sends MAIL, all RCPT and DATA together (RFC 2920); -f gives the first message another number than 0.
 * Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull
#define MOST_TRIES 50
#define INPUT 65536
#define HEADER 240 /* octets of a message's header, about */

enum phase { CLOSED, GREETING, EHLO, WAITING, MAIL, RCPT, DATA, CONTENT };

struct session {
    int fd;
    enum phase phase;
    long message;      /* -1: none in hand */
    int recipient;     /* replies of RCPT that have come */
    int tries;
    uint64_t due;      /* when the message was begun or due */
    uint64_t again;    /* when to connect again, while CLOSED */
    char *out;
    size_t out_len, out_at;
    char in[INPUT];
    size_t in_len;
};

static const char *host = "127.0.0.1";
static int port = 2525, sessions = 20, octets = 4096, domains = 1, slow = 0, recipients = 1, pipelined = 0;
static long messages = 1000, first = 0, taken = 0, accepted = 0, failed = 0, retries = 0;
static int body; /* octets */
static double per_second = 0, limit = 600;
static uint64_t began, last_accepted;
static float *ack_ms;
static char *filler, refusal[200];
static int poller;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS + t.tv_nsec;
}

static int over(void) { return (now() - began) / 1e9 > limit; }

/* A body of text that does not compress, in lines of 76 characters: the same for all, so that the sink can check it. */
static void make_filler(void) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t x = 88172645463325252ull;
    body = octets > HEADER + 2 ? octets - HEADER : 2;
    filler = malloc(body);
    for (int at = 0; at < body; at++) {
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        filler[at] = at % 78 == 76 ? '\r' : at % 78 == 77 ? '\n' : alphabet[x >> 58];
    }
    memcpy(filler + body - 2, "\r\n", 2);
    if (body > 2 && filler[body - 3] == '\r') filler[body - 3] = '-';
}

static void watch(struct session *s, int op) {
    struct epoll_event event = {.events = EPOLLIN | (s->out_at < s->out_len ? EPOLLOUT : 0), .data.ptr = s};
    epoll_ctl(poller, op, s->fd, &event);
}

static void drop(struct session *s) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    s->phase = CLOSED;
    if (s->message < 0) return;
    retries++;
    if (++s->tries >= MOST_TRIES) {
        failed++;
        s->message = -1;
        s->tries = 0;
    }
    s->again = now() + 20000000ull * s->tries;
}

static void dial(struct session *s) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    inet_pton(AF_INET, host, &to.sin_addr);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->in_len = s->out_len = s->out_at = 0;
    if (connect(s->fd, (void *)&to, sizeof to)) { drop(s); return; }
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    s->phase = GREETING;
    watch(s, EPOLL_CTL_ADD);
}

static void flush_out(struct session *s) {
    while (s->out_at < s->out_len) {
        ssize_t n = send(s->fd, s->out + s->out_at, s->out_len - s->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) { watch(s, EPOLL_CTL_MOD); return; }
        if (n <= 0) { drop(s); return; }
        s->out_at += n;
    }
}

static void say(struct session *s, size_t length) {
    s->out_len = length;
    s->out_at = 0;
    flush_out(s);
}

static int rcpt(char *to, long message, int k) {
    long number = (message + k) % domains;
    return sprintf(to, "RCPT TO:<r%ld-%d@%c%ld.test>\r\n", message, k, number < slow ? 's' : 'd', number);
}

static void begin(struct session *s) {
    int length = sprintf(s->out, "MAIL FROM:<sender@bench.test>\r\n");
    s->recipient = 0;
    s->phase = MAIL;
    if (pipelined) {
        for (int k = 0; k < recipients; k++) length += rcpt(s->out + length, s->message, k);
        length += sprintf(s->out + length, "DATA\r\n");
    }
    say(s, length);
}

static void send_content(struct session *s) {
    long number = s->message % domains;
    int length = sprintf(s->out,
        "From: <sender@bench.test>\r\nTo: <r%ld-0@%c%ld.test>\r\nSubject: benchmark %ld\r\n"
        "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%ld.%llu@bench.test>\r\nX-Bench: %ld %llu\r\n\r\n",
        s->message, number < slow ? 's' : 'd', number, s->message,
        s->message, (unsigned long long)s->due, s->message, (unsigned long long)s->due);
    memcpy(s->out + length, filler, body);
    memcpy(s->out + length + body, ".\r\n", 3);
    s->phase = CONTENT;
    say(s, length + body + 3);
}

/* Gives an idle session its next message. Returns 0 where none is to be had now. */
static int next_message(struct session *s) {
    if (s->message < 0) {
        if (taken >= messages || over()) return 0;
        uint64_t due = per_second > 0 ? began + (uint64_t)(taken / per_second * 1e9) : now();
        if (due > now()) return 0;
        s->message = first + taken++;
        s->due = due;
        s->tries = 0;
    }
    if (s->phase == CLOSED) dial(s); else begin(s);
    return 1;
}

static void done(struct session *s) {
    last_accepted = now();
    ack_ms[accepted++] = (last_accepted - s->due) / 1e6;
    s->message = -1;
    s->tries = 0;
    s->phase = WAITING;
    next_message(s);
}

static void heard(struct session *s, int code) {
    int good = code >= 200 && code < 400;
    if (!good) { drop(s); return; }
    switch (s->phase) {
    case GREETING:
        s->phase = EHLO;
        say(s, sprintf(s->out, "EHLO client.bench.test\r\n"));
        return;
    case EHLO:
        s->phase = WAITING;
        if (s->message >= 0) begin(s); else next_message(s);
        return;
    case MAIL:
        s->phase = RCPT;
        if (!pipelined) say(s, rcpt(s->out, s->message, 0));
        return;
    case RCPT:
        if (++s->recipient == recipients) s->phase = DATA;
        if (pipelined) return;
        say(s, s->phase == DATA ? sprintf(s->out, "DATA\r\n") : rcpt(s->out, s->message, s->recipient));
        return;
    case DATA:
        send_content(s);
        return;
    case CONTENT:
        done(s);
        return;
    default:
        drop(s);
    }
}

static void read_replies(struct session *s) {
    ssize_t n = read(s->fd, s->in + s->in_len, INPUT - s->in_len);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { drop(s); return; }
    s->in_len += n;
    size_t at = 0;
    while (s->fd >= 0) {
        char *line = s->in + at, *end = memchr(line, '\n', s->in_len - at);
        if (!end) break;
        size_t length = end - line + 1;
        at += length;
        if (length < 4 || line[3] == '-') continue;
        int code = atoi(line);
        if (code >= 400) snprintf(refusal, sizeof refusal, "%.*s", (int)strcspn(line, "\r\n\"\\"), line);
        heard(s, code);
    }
    if (s->fd < 0) return;
    memmove(s->in, s->in + at, s->in_len - at);
    s->in_len -= at;
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static int parse(int count, char **words) {
    int option;
    while ((option = getopt(count, words, "h:p:m:s:l:d:S:f:r:R:PT:")) != -1) switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'm': messages = atol(optarg); break;
        case 's': sessions = atoi(optarg); break;
        case 'l': octets = atoi(optarg); break;
        case 'd': domains = atoi(optarg); break;
        case 'S': slow = atoi(optarg); break;
        case 'f': first = atol(optarg); break;
        case 'r': recipients = atoi(optarg); break;
        case 'R': per_second = atof(optarg); break;
        case 'P': pipelined = 1; break;
        case 'T': limit = atof(optarg); break;
        default: return 0;
    }
    return 1;
}

/* Wakes all sessions that can do something now; returns how many messages are not through yet. */
static long tend(struct session *all) {
    uint64_t moment = now();
    for (int i = 0; i < sessions; i++) {
        struct session *s = all + i;
        if (s->phase == WAITING || (s->phase == CLOSED && s->again <= moment)) {
            if (s->message >= 0 && over()) { failed++; s->message = -1; continue; }
            if (!next_message(s) && taken < messages && per_second > 0 && !over()) break;
        }
    }
    return (over() ? taken : messages) - accepted - failed;
}

static void report(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double seconds = accepted ? (last_accepted - began) / 1e9 : 0;
    qsort(ack_ms, accepted, sizeof *ack_ms, compare);
    printf("{\"began_ns\":%llu,\"accepted\":%ld,\"failed\":%ld,\"retries\":%ld,\"seconds\":%.4f,\"ack_p50_ms\":%.3f,"
           "\"ack_p99_ms\":%.3f,\"cpu_s\":%.3f,\"body\":%d,\"refusal\":\"%s\"}\n",
           (unsigned long long)began, accepted, failed + messages - taken, retries, seconds, accepted ? ack_ms[accepted / 2] : 0,
           accepted ? ack_ms[(long)(accepted * .99)] : 0, cpu, body, refusal);
}

int main(int count, char **words) {
    if (!parse(count, words)) return 2;
    make_filler();
    ack_ms = calloc(messages, sizeof *ack_ms);
    poller = epoll_create1(0);
    struct session *all = calloc(sessions, sizeof *all);
    size_t room = octets + 1024 + (size_t)recipients * 80;
    for (int i = 0; i < sessions; i++) {
        all[i].fd = -1;
        all[i].message = -1;
        all[i].out = malloc(room);
    }
    began = now();
    /* One tick for reconnections and deadlines; at a rate, one a millisecond's fraction for what falls due. */
    int tick = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    long step = per_second > 0 ? 200000 : 10000000;
    struct itimerspec every = {.it_interval = {.tv_nsec = step}, .it_value = {.tv_nsec = step}};
    timerfd_settime(tick, 0, &every, 0);
    struct epoll_event event = {.events = EPOLLIN}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, tick, &event);
    /* Whoever has no answer ten seconds after the end is given up. */
    while (tend(all) > 0 && (now() - began) / 1e9 < limit + 10) {
        int n = epoll_wait(poller, events, 256, -1), ticked = 0;
        while (!ticked) {
            for (int i = 0; i < n; i++) {
                struct session *s = events[i].data.ptr;
                if (!s) { uint64_t times; ticked = read(tick, &times, sizeof times) > 0; continue; }
                if (s->fd >= 0 && events[i].events & EPOLLOUT) { flush_out(s); if (s->fd >= 0) watch(s, EPOLL_CTL_MOD); }
                if (s->fd >= 0 && events[i].events & ~EPOLLOUT) read_replies(s);
            }
            if (accepted + failed >= messages) break;
            if (!ticked) n = epoll_wait(poller, events, 256, -1);
        }
    }
    for (int i = 0; i < sessions; i++)
        if (all[i].fd >= 0) { (void)!write(all[i].fd, "QUIT\r\n", 6); close(all[i].fd); }
    report();
    return failed ? 1 : 0;
}
