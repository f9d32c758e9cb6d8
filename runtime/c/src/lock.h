/* A lock between threads, of the system. */
#ifndef CARVE_LOCK_H
#define CARVE_LOCK_H

#include <stdbool.h>

#ifdef _WIN32
#include <windows.h>
typedef SRWLOCK lock;
static inline bool lock_open(lock *l) {
    InitializeSRWLock(l);
    return true;
}
static inline void lock_close(lock *l) { (void)l; }
static inline void lock_take(lock *l) { AcquireSRWLockExclusive(l); }
static inline void lock_give(lock *l) { ReleaseSRWLockExclusive(l); }
#else
#include <pthread.h>
typedef pthread_mutex_t lock;
static inline bool lock_open(lock *l) { return pthread_mutex_init(l, NULL) == 0; }
static inline void lock_close(lock *l) { pthread_mutex_destroy(l); }
static inline void lock_take(lock *l) { pthread_mutex_lock(l); }
static inline void lock_give(lock *l) { pthread_mutex_unlock(l); }
#endif

#endif
