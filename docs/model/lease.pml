/* lease.pml: the protocol of one key that has one cell, in Promela.
 *
 * Processes: two readers with NR0 and NR1 reads (each a process of its own, unless SFNAIVE or SFVAL), NW writers with one write
 * each, and an environment: expiry, eviction, failover, outage, late duplicates, late commits. A script of Redis is one step. The
 * database is a counter: a write makes version db+1 visible in one step, a load reads db in one step.
 *
 * Properties:
 *   read    a read returns nothing older than what was written, by a write that had RETURNED before the read began (P1), or read,
 *           by a read that had returned before it began (P2). Both together are linearizability of a key. NOP2 leaves out P2, and
 *           NOREAD both.
 *   rest    when everything has come to rest, a cell in the cache equals the database. NOE leaves it out.
 *   usable  ACQUIRE never answers with the very cell that its caller has just refused.
 *
 * No switch: fences are tokens in a list, ACQUIRE mints the lease in the server, FILL compares it, CLEAR takes the own token away
 * and voids the cell. Switches are of three kinds; README.md says which runs go with them.
 *
 * What the product does beyond that (PRODUCT is ASYNC, COLD and POLL):
 *   ASYNC       the writer does not wait for CLEAR (4.11.4)
 *   COLD        a reader may ask for the lease, or join a flight, without having looked at the cell first
 *   POLL        a reader that meets somebody else's lease may wait, and look again
 *   SFVAL       readers 0 and 1 share a process; reader 1 may join reader 0's flight, and takes its value only if the FILL was
 *               stored and it came before the FILL was sent
 *   TICK        a fence ages, and runs out at age 2; the writer renews it for as long as the outcome of its COMMIT is open
 *   RESOLVE     the writer asks for an unknown outcome until it is known, and clears then (4.11.6)
 *   GUARD       Postgres refuses a COMMIT that comes late (4.11.5)
 *   WAIT        the fence waits for the replica before the COMMIT (4.11.20)
 *   BADCELL     a cell may be damaged; the reader sees it, and ACQUIRE replaces it (4.11.2)
 *   OUTAGE      Redis is away once, for everybody, and comes back with what it held: fences that fail are pending, who has
 *               noticed trusts no cell whose lease is older than Redis' return (4.11.8, 4.11.9)
 *   CDC         a feed invalidates each commit once it is visible
 *
 * What may go wrong:
 *   CRASH       a writer may die after its fence, after its COMMIT, and before it has told Redis
 *   CRASHOPEN   a writer may die while its COMMIT is on its way
 *   PAUSE       (with TICK) a writer may sleep, and renew nothing
 *   EARLY       a fence may run out before the COMMIT
 *   AMBIG       the outcome of a COMMIT may be unknown, and it may land later
 *   KEEP        then the fence is left to its TTL
 *   MARKLOST    a fence may be evicted
 *   FAILOVER    one failover to a replica that lags behind
 *   LATEACQ     a duplicate of ACQUIRE arrives late
 *   LATERENEW   a renewal arrives after CLEAR
 *   STRADDLE    (with OUTAGE) a COMMIT whose fence failed may come after Redis' return, and is not excused
 *   FOREIGN     writer 1 knows nothing of the protocol
 *
 * What breaks it, so that a run must find it:
 *   CLITOK      the client picks the lease                  ONETOK      a key has room for one fence
 *   ONEPHASE    no fence (mode aftercommit)                 OLDSNAP     the load's snapshot is older than the lease
 *   SFNAIVE     a flight is shared whatever became of it    SFLATE      a reader may join after the FILL was sent
 *   CDCEARLY    the feed does not wait until it is visible  CDCDEL      the feed takes fences away, too
 *   FENCEKEEPS  the fence leaves the cell where it is       ACQFENCED   ACQUIRE grants leases under a fence
 *   NORENEW     fences are not renewed                      UNCHECKED   a damaged cell is used
 *   NOREPLACE   ACQUIRE answers with an unusable cell       NODISTRUST  cells from before an outage are trusted
 *   STAMPFILL   a cell's age counts from its FILL           NODRAIN     what Redis was not told is not told later
 *   NEAR        reader 1 keeps a copy that pushes void later
 */
#ifdef PRODUCT
#define ASYNC
#define COLD
#define POLL
#endif
#ifndef NR0
#define NR0 2
#endif
#ifndef NR1
#define NR1 2
#endif
#ifndef NW
#define NW 2
#endif
#ifndef BUDGET
#define BUDGET 2
#endif
#define NREADS (r == 0 -> NR0 : NR1)
#define NONE 0
#define VAL 1
#define LEASE 2
/* --- Redis: one key --- */
byte k = NONE, cv, lid, marks;      /* what the cell is, its version, the id of its lease; the set of fences */
byte nextid = 10;                   /* where ids of leases come from; it stands for the server's clock, too */
/* --- a replica that lags behind --- */
byte rk = NONE, rcv, rlid, rmarks; bool failed;
/* --- Postgres --- */
byte db, wal;                       /* the version that is visible, the version that is in the log */
byte cdcpos;
/* --- ghosts --- */
byte floor_; byte live = 2 + NW;
bool committed[2], ended[2], expired[2], lateCommit[2], ldup[2]; byte dupTok[2];
/* --- flights: readers 0 and 1 share a process --- */
bool fl, flopen; byte flv; bool flok; byte flgen;
/* --- reader 1's copy --- */
bool nv; byte nval; byte pushes;

/* --- whether a reader can use a cell --- */
#if defined(BADCELL) || defined(OUTAGE)
#define CELLIDS
byte cid;                           /* id of the lease under which the cell was filled */
bool cbad;
#define VOIDID cid = 0; cbad = 0
#else
#define VOIDID skip
#endif
#ifdef OUTAGE
bool down, wasDown;
bool breaker[2]; byte notBefore[2];
byte blind;                         /* writes of which Redis has not been told, whose fence failed: a set */
bool straddled;                     /* one of them was committed after Redis had come back */
#define UP (!down)
#ifdef NODISTRUST
#define OLD(r) 0
#else
#define OLD(r) (cid <= notBefore[r])
#endif
#else
#define UP (1)
#define OLD(r) 0
#endif
#ifdef CELLIDS
#ifdef UNCHECKED
#define USABLE(r) (!OLD(r))
#else
#define USABLE(r) (!cbad && !OLD(r))
#endif
#else
#define USABLE(r) (1)
#endif

/* --- fences that age --- */
#ifdef TICK
byte age[2]; bool unsure[2];          /* unsure: the outcome is open, and the writer lives */
bool lateren[2];
#define SETAGE(i) age[i] = 0
#else
#define SETAGE(i) skip
#endif

inline RAISE(x) { if :: (x) > floor_ -> floor_ = (x) :: else fi }
inline VOID()   { k = NONE; cv = 0; lid = 0; VOIDID }
#ifdef NEAR
#define PUSH pushes = 1
#else
#define PUSH skip
#endif
#ifdef ONETOK
#define ADDMARK(i) marks = (1 << i)
#else
#define ADDMARK(i) marks = marks | (1 << i)
#endif
#ifdef ACQFENCED
#define FREE (1)
#else
#define FREE (marks == 0)
#endif
#ifdef NOREPLACE
#define REPLACED 0
#else
#define REPLACED (un != 0 && cid == un)
#endif

/* GRANT is what ACQUIRE does when it grants a lease. */
inline GRANT() {
#ifdef CLITOK
  my = 1 + r;                       /* sent by the client, the same when it asks again */
#else
  nextid++; my = nextid;            /* minted in the script */
#endif
  VOID(); k = LEASE; lid = my;
#ifdef LATEACQ
  if :: ldup[r] = 1; dupTok[r] = 1 + r :: skip fi;
#endif
}

inline TAKE() {                     /* the cell's value is the read's */
  v = cv;
#ifdef OUTAGE
  /* What Redis has not been told nobody can know who has not noticed the outage, or if the COMMIT came after it. */
  if :: blind != 0 && (straddled || notBefore[r] == 0 && !breaker[r]) -> excused = 1 :: else fi;
#endif
#ifdef NEAR
  if :: r == 1 -> nv = 1; nval = v :: else fi;
#endif
}

proctype Reader(byte r) {
  byte n = 0, f0, v, my; byte g; bool own; byte snap;
#ifdef CELLIDS
  byte un;                          /* the cell that this read has refused */
#endif
#ifdef OUTAGE
  bool excused;
#endif
  do
  :: n < NREADS ->
     d_step { f0 = floor_; snap = db; own = 0; my = 0 }
#ifdef NEAR
     if :: r == 1 && nv -> v = nval; goto ret :: else fi;
#endif
get:
#ifdef OUTAGE
     if :: breaker[r] -> goto bypass :: else fi;
#endif
     /* GET: it sees the cell and no fence */
     if
#ifdef COLD
     :: skip
#endif
#ifdef OUTAGE
     :: atomic { down -> breaker[r] = 1; goto bypass }
#endif
     :: atomic { UP && k == VAL && USABLE(r) -> TAKE(); goto ret }
#ifdef CELLIDS
     :: atomic { UP && k == VAL && !USABLE(r) -> un = cid }
#endif
     :: atomic { UP && k != VAL -> skip }
     fi;
#if defined(SFNAIVE) || defined(SFVAL)
     if
     :: atomic { r == 1 && fl && flopen -> g = flgen };
        atomic { (!fl || flgen != g) -> v = flv;
#ifdef SFVAL
          if :: flok && !fl && flgen == g -> goto ret :: else goto bypass fi
#else
          goto ret
#endif
        }
     :: else
     fi;
     if :: atomic { r == 0 -> fl = 1; flopen = 1; flgen++; flok = 0; own = 1 } :: r != 0 fi;
#endif
acquire:
     if
#ifdef OUTAGE
     :: atomic { down -> breaker[r] = 1; goto bypass }
#endif
     :: atomic { UP && !FREE -> goto bypass }
     :: atomic { UP && FREE && k == LEASE ->
#ifdef POLL
        if :: goto wait :: goto bypass fi
#else
        goto bypass
#endif
        }
     :: atomic { UP && FREE && k == NONE -> GRANT() }
#ifdef CELLIDS
     :: atomic { UP && FREE && k == VAL && REPLACED -> GRANT() }
     :: atomic { UP && FREE && k == VAL && !REPLACED ->
        assert(un == 0 || cid != un);         /* usable */
        if :: USABLE(r) -> TAKE(); goto ret :: else -> un = cid; goto acquire fi }
#else
     :: atomic { UP && FREE && k == VAL -> TAKE(); goto ret }
#endif
     fi;
     /* LOAD: on the primary, with a new snapshot */
#ifdef OLDSNAP
     v = snap;
#else
     v = db;
#endif
#if defined(SFVAL) && !defined(SFLATE)
     if :: own -> flopen = 0 :: else fi;     /* close the flight BEFORE the FILL is sent */
#endif
     /* FILL */
     if
#ifdef OUTAGE
     :: atomic { down -> breaker[r] = 1; flok = 0 }
#endif
     :: atomic { UP && k == LEASE && lid == my -> k = VAL; cv = v; lid = 0; flok = own;
#ifdef CELLIDS
          cid = my;
#ifdef STAMPFILL
          nextid++; cid = nextid;
#endif
#endif
#ifdef NEAR
          if :: r == 1 -> nv = 1; nval = v :: else fi;
#endif
        }
     :: atomic { UP && !(k == LEASE && lid == my) -> flok = 0 }
     fi;
     goto ret;
#ifdef POLL
wait:
     if :: goto bypass :: atomic { k != LEASE -> goto get } fi;
#endif
bypass:
     v = db;
ret: atomic {
       if :: own -> flv = v; fl = 0 :: else fi;
       own = 0;
#ifdef OUTAGE
       assert(v >= f0 || excused);            /* read */
       excused = 0;
#elif !defined(NOREAD)
       assert(v >= f0);                       /* read */
#endif
#ifndef NOP2
       RAISE(v);
#endif
#ifdef CELLIDS
       un = 0;
#endif
       n++; f0 = 0; v = 0; my = 0; g = 0; snap = 0
     }
  :: n >= NREADS -> break
  od;
  live--
}

proctype Writer(byte i) {
  byte my;
#ifdef FOREIGN
  if :: i == 1 ->
#ifdef CDC
        atomic { wal++; }                 /* the commit record is in the log */
        atomic { db = wal; committed[i] = 1 }   /* visible */
#else
        atomic { db++; wal = db; committed[i] = 1 }
#endif
        ended[i] = 1; goto out
     :: else fi;
#endif
#ifndef ONEPHASE
  /* FENCE */
#ifdef OUTAGE
  if
  :: atomic { down -> blind = blind | (1 << i) }     /* pending; the write goes on */
  :: atomic { UP -> VOID(); ADDMARK(i); PUSH }
  fi;
#elif defined(FENCEKEEPS)
  atomic { ADDMARK(i); PUSH; if :: k == LEASE -> VOID() :: else fi }
#else
  atomic { VOID(); ADDMARK(i); PUSH; SETAGE(i)
#ifdef TICK
    ; unsure[i] = 1
#endif
  }
#endif
#ifdef CRASH
  if :: skip :: ended[i] = 1; goto dead fi;
#endif
#ifdef WAIT
  if
  :: atomic { !failed -> rk = k; rcv = cv; rlid = lid; rmarks = marks }
  :: atomic { failed -> ended[i] = 1; marks = marks & ~(1 << i); goto out }   /* WAIT fails: roll back */
  fi;
#endif
#endif
  /* COMMIT */
#ifdef AMBIG
  if
  :: skip
#ifdef GUARD
  :: atomic { !expired[i] -> lateCommit[i] = 1 };   /* it began in time, its answer is lost */
#else
  :: lateCommit[i] = 1;                     /* the connection is broken, Postgres goes on */
#endif
#ifdef CRASHOPEN
     if :: skip :: goto dead fi;
#endif
#if defined(RESOLVE)
     atomic { !lateCommit[i] -> my = (committed[i] -> db : 0) };    /* at last it is known */
     goto unmark
#elif defined(KEEP)
     goto out                               /* leave the fence to its TTL */
#else
     goto unmark
#endif
  fi;
#endif
#ifdef GUARD
  if
  :: atomic { expired[i] -> ended[i] = 1; goto unmark }          /* too late: it is rolled back */
  :: atomic { !expired[i] -> db++; wal = db; my = db; committed[i] = 1 }
  fi;
#else
  atomic { db++; wal = db; my = db; committed[i] = 1;
#if defined(OUTAGE) && !defined(STRADDLE)
    if :: (blind & (1 << i)) && !down -> straddled = 1 :: else fi
#endif
  }
#endif
#ifdef CRASH
  if :: skip :: ended[i] = 1; goto dead fi;
#endif
unmark:
#ifdef ASYNC
  /* The write returns: its fence still hides the key. */
  atomic { ended[i] = 1; RAISE(my);
#ifdef TICK
    unsure[i] = 0
#endif
  }
#ifdef CRASH
  if :: skip :: goto dead fi;
#endif
#endif
#ifdef ONEPHASE
  atomic { VOID(); PUSH }
#elif defined(OUTAGE)
  if
  :: atomic { (blind & (1 << i)) == 0 && UP -> marks = marks & ~(1 << i); VOID() }
  :: atomic { (blind & (1 << i)) == 0 && down -> skip }      /* the fence is left to its TTL */
#ifdef NODRAIN
  :: (blind & (1 << i)) != 0
#else
  :: atomic { (blind & (1 << i)) != 0 && wasDown && UP -> VOID(); blind = blind & ~(1 << i) }
#endif
  fi;
#else
  atomic {
#ifdef ONETOK
    if :: marks == (1 << i) -> marks = 0 :: else fi;
#else
    marks = marks & ~(1 << i);
#endif
    VOID(); PUSH
#ifdef TICK
    ; SETAGE(i); unsure[i] = 0
#endif
#ifdef LATERENEW
    ; if :: lateren[i] = 1 :: skip fi
#endif
  }
#endif
#ifndef ASYNC
  /* The write returns. */
  atomic { ended[i] = 1; RAISE(my) }
#endif
dead:
#ifdef TICK
  unsure[i] = 0;
#endif
out: live--
}

#ifdef TICK
#ifdef PAUSE
#define MAYTICK(i) (1)
#elif defined(NORENEW)
#define MAYTICK(i) (1)
#else
#define MAYTICK(i) (!(unsure[i] && age[i] == 1))     /* the renewal, which is due, comes first */
#endif
#define TICKS(i) \
  :: atomic { (marks & (1 << i)) && MAYTICK(i) && age[i] < 2 -> age[i]++; expired[i] = 1; \
       if :: age[i] == 2 -> marks = marks & ~(1 << i); age[i] = 0 :: else fi }
#ifdef NORENEW
#define RENEWS(i)
#else
#define RENEWS(i) \
  :: atomic { unsure[i] && age[i] == 1 -> VOID(); ADDMARK(i); age[i] = 0 }
#endif
#ifdef LATERENEW
#define RENEWSLATE(i) \
  :: atomic { lateren[i] -> lateren[i] = 0; VOID(); ADDMARK(i); age[i] = 0 }
#else
#define RENEWSLATE(i)
#endif
#endif

proctype Env() {
  byte budget = BUDGET; byte x;
  do
  :: atomic { k == LEASE && budget > 0 -> VOID(); budget-- }              /* a lease ends, or is evicted */
  :: atomic { k == VAL && budget > 0 -> VOID(); budget-- }                /* a cell ends, or is evicted */
#ifdef TICK
  TICKS(0)
  TICKS(1)
  RENEWS(0)
  RENEWS(1)
  RENEWSLATE(0)
  RENEWSLATE(1)
#else
  :: atomic { (marks & 1) && (committed[0] || ended[0]) && !lateCommit[0] -> marks = marks & ~1 }   /* TTL */
  :: atomic { (marks & 2) && (committed[1] || ended[1]) && !lateCommit[1] -> marks = marks & ~2 }
#endif
#ifdef EARLY
  :: atomic { (marks & 1) && !expired[0] && !lateCommit[0] -> expired[0] = 1; marks = marks & ~1 }
  :: atomic { (marks & 2) && !expired[1] && !lateCommit[1] -> expired[1] = 1; marks = marks & ~2 }
#endif
#ifdef MARKLOST
  :: atomic { marks != 0 && budget > 0 -> marks = 0; budget-- }
#endif
#ifdef FAILOVER
  :: atomic { !failed -> rk = k; rcv = cv; rlid = lid; rmarks = marks }    /* replication catches up */
  :: atomic { !failed -> failed = 1; k = rk; cv = rcv; lid = rlid; marks = rmarks }
#endif
#ifdef AMBIG
  :: atomic { lateCommit[0] -> lateCommit[0] = 0; committed[0] = 1; db++; wal = db }
  :: atomic { lateCommit[1] -> lateCommit[1] = 0; committed[1] = 1; db++; wal = db }
  :: atomic { lateCommit[0] -> lateCommit[0] = 0; ended[0] = 1 }            /* it was rolled back */
  :: atomic { lateCommit[1] -> lateCommit[1] = 0; ended[1] = 1 }
#endif
#ifdef LATEACQ
  :: atomic { ldup[0] -> ldup[0] = 0; x = 0;
       if :: marks == 0 && k == NONE -> k = LEASE;
#ifdef CLITOK
             lid = dupTok[0]
#else
             nextid++; lid = nextid
#endif
          :: else fi }
#endif
#ifdef BADCELL
  :: atomic { k == VAL && !cbad && budget > 0 -> cbad = 1; cv = 0; budget-- }
#endif
#ifdef OUTAGE
  :: atomic { !wasDown -> wasDown = 1; down = 1 }
  :: atomic { down -> down = 0 }
  :: atomic { breaker[0] && !down -> breaker[0] = 0; notBefore[0] = nextid }     /* the probe is answered */
  :: atomic { breaker[1] && !down -> breaker[1] = 0; notBefore[1] = nextid }
#endif
#ifdef NEAR
  :: atomic { pushes -> pushes = 0; nv = 0 }
#endif
#ifdef CDC
#ifdef CDCEARLY
  :: atomic { cdcpos < wal -> cdcpos = wal;
#else
  :: atomic { cdcpos < db -> cdcpos = db;
#endif
#ifdef CDCDEL
       marks = 0; VOID(); PUSH }
#else
       if :: marks == 0 -> VOID() :: else fi; PUSH }
#endif
#endif
#ifdef CDC
#define RESTS (live == 0 && cdcpos == db)   /* the feed has caught up */
#elif defined(OUTAGE)
#define RESTS (live == 0 && !down)
#else
#define RESTS (live == 0)
#endif
  :: atomic { RESTS ->
#ifndef NOE
#if defined(OUTAGE) && defined(CRASH)
       assert(k != VAL || marks != 0 || cv == db || blind != 0);                             /* rest */
#elif defined(BADCELL)
       assert(k != VAL || marks != 0 || cv == db || cbad);                                   /* rest */
#else
       assert(k != VAL || marks != 0 || lateCommit[0] || lateCommit[1] || cv == db);         /* rest */
#endif
#endif
       break }
  od
}

init { atomic { run Reader(0); run Reader(1); run Writer(0); if :: NW > 1 -> run Writer(1) :: else fi; run Env() } }
