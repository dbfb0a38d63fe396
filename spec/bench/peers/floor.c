/* The floor of a first token and of a renewal: the same request by libcurl with nothing around it.
 * floor first | floor renew
 * SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RENEWALS = 200 };

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
    curl_easy_cleanup(easy);
    return error == CURLE_OK ? 0 : 1;
}
