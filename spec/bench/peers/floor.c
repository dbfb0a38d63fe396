/* The floor of a first token and of a renewal: the same request by libcurl with nothing around it.
 * floor first | renew | calls | many; its page is in libcurl_and_cjson.lua
 * SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { RENEWALS = 200, CALLS = 2000, AT_ONCE = 16, EACH = 20 };

static size_t drop(char *bytes, size_t size, size_t count, void *data) {
    (void)bytes;
    (void)data;
    return size * count;
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Of this process, all threads, in seconds. */
static double spent(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The token itself costs a call nothing; its length does. */
static struct curl_slist *make_get(CURL *easy, const char *path) {
    char url[512];
    char line[1024];
    (void)snprintf(url, sizeof url, "%s%s", getenv("BASE_URL"), path);
    (void)snprintf(line, sizeof line, "Authorization: Bearer %0792d", 0);
    struct curl_slist *lines = curl_slist_append(NULL, line);
    lines = curl_slist_append(lines, "Accept: application/json");
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines);
    return lines;
}

static CURLcode call(CURL *easy, CURLcode error) {
    struct curl_slist *lines = make_get(easy, "/devices");
    if (error == CURLE_OK)
        error = curl_easy_perform(easy);
    double started = now();
    double before = spent();
    for (int i = 0; i < CALLS && error == CURLE_OK; i++)
        error = curl_easy_perform(easy);
    printf("%f %f\n", CALLS / (now() - started), (spent() - before) / CALLS * 1e6);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(lines);
    return error;
}

/* Each handle makes its next call at once when one has ended. */
static CURLcode run_together(CURLM *multi, CURL *const *handles, int calls) {
    CURLcode error = CURLE_OK;
    for (int i = 0; i < AT_ONCE; i++)
        curl_multi_add_handle(multi, handles[i]);
    for (int started = AT_ONCE, ended = 0, running = 0, left = 0; ended < calls && error == CURLE_OK;) {
        curl_multi_perform(multi, &running);
        const CURLMsg *message = NULL;
        while ((message = curl_multi_info_read(multi, &left)) != NULL) {
            CURL *easy = message->easy_handle;
            error = error == CURLE_OK ? message->data.result : error;
            curl_multi_remove_handle(multi, easy);
            ended++;
            if (started++ < calls)
                curl_multi_add_handle(multi, easy);
        }
        curl_multi_poll(multi, NULL, 0, ended < calls ? 1000 : 0, NULL);
    }
    return error;
}

static CURLcode together(CURL *easy) {
    struct curl_slist *lines = make_get(easy, "/slow");
    CURL *handles[AT_ONCE];
    CURLM *multi = curl_multi_init();
    for (int i = 0; i < AT_ONCE; i++)
        handles[i] = curl_easy_duphandle(easy);
    CURLcode error = run_together(multi, handles, AT_ONCE);
    double started = now();
    if (error == CURLE_OK)
        error = run_together(multi, handles, AT_ONCE * EACH);
    printf("%f\n", AT_ONCE * EACH / (now() - started));
    for (int i = 0; i < AT_ONCE; i++)
        curl_easy_cleanup(handles[i]);
    curl_multi_cleanup(multi);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(lines);
    return error;
}

int main(int count, char **words) {
    char body[512];
    const char *ca = getenv("CA_FILE");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *easy = curl_easy_init();
    (void)snprintf(body, sizeof body, "grant_type=client_credentials&client_id=%s&client_secret=%s",
                   getenv("CLIENT_ID"), getenv("CLIENT_SECRET"));
    curl_easy_setopt(easy, CURLOPT_URL, getenv("TOKEN_URL"));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    if (ca != NULL && ca[0] != '\0')
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
    CURLcode error = curl_easy_perform(easy);
    if (count > 1 && strcmp(words[1], "renew") == 0) {
        double started = now();
        for (int i = 0; i < RENEWALS && error == CURLE_OK; i++)
            error = curl_easy_perform(easy);
        printf("%f\n", (double)RENEWALS / (now() - started));
    }
    if (count > 1 && strcmp(words[1], "calls") == 0)
        error = call(easy, error);
    if (count > 1 && error == CURLE_OK && strcmp(words[1], "many") == 0)
        error = together(easy);
    curl_easy_cleanup(easy);
    return error == CURLE_OK ? 0 : 1;
}
